/* Settings, the lock, counted calls, injected faults, figures, and the report: one line of JSON for each event.
 *
 * NULL_DRIVER_REPORT names the file; lines are appended whole, so that several processes can share it.
 * NULL_DRIVER_FAIL is a list of TARGET:N[+][:CODE][:sticky], separated by commas: the N-th call (with "+": that and all
 * later ones) of a function, or of a class of functions, returns CODE; "sticky" loses the device.
 */
#define _GNU_SOURCE
#include "null_driver.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_FAULTS 16

struct settings settings;
struct figures figures;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct call *calls; /* those that were made at least once */
static int report = -1;

/* Names of the classes, and what their calls return when they fail. */
static const struct {
    const char *name;
    CUresult code;
} CLASSES[] = {
    [OTHER] = {"other", INVALID_VALUE},   [QUERY] = {"query", INVALID_VALUE},   [ALLOC] = {"alloc", OUT_OF_MEMORY},
    [PINNED] = {"pinned", OUT_OF_MEMORY}, [LAUNCH] = {"launch", LAUNCH_FAILED}, [COPY] = {"copy", ILLEGAL_ADDRESS},
    [SYNC] = {"sync", ILLEGAL_ADDRESS},   [LOAD] = {"load", INVALID_IMAGE},     [EVENT] = {"event", OUT_OF_MEMORY},
    [STREAM] = {"stream", OUT_OF_MEMORY}, [FREE] = {"free", ILLEGAL_ADDRESS},
};

struct fault {
    char target[64];
    long number, seen;
    bool onwards, sticky;
    CUresult code; /* 0: that of the call's class */
};
static struct fault faults[MOST_FAULTS];
static int n_faults;
static const char *last_failed = ""; /* name of the call in which the last fault came */

/* ---- the lock ---- */

int take_lock(void)
{
    pthread_mutex_lock(&lock);
    return 0;
}

void drop_lock(int *unused)
{
    (void)unused;
    pthread_mutex_unlock(&lock);
}

/* ---- settings ---- */

static const char *setting(const char *name, const char *otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? text : otherwise;
}

/* "12.8" as 12080. */
static int version_of(const char *text)
{
    int major = 0, minor = 0;
    sscanf(text, "%d.%d", &major, &minor);
    return major * 1000 + minor * 10;
}

API int null_driver_fail(const char *list);

__attribute__((constructor)) static void read_settings(void)
{
    settings.devices = atoi(setting("NULL_DRIVER_DEVICES", "1"));
    if (settings.devices > MOST_DEVICES)
        settings.devices = MOST_DEVICES;
    settings.version = version_of(setting("NULL_DRIVER_VERSION", "13.0"));
    sscanf(setting("NULL_DRIVER_CAPABILITY", "9.0"), "%d.%d", &settings.major, &settings.minor);
    settings.name = setting("NULL_DRIVER_NAME", "Null Driver H100");
    settings.total = strtoull(setting("NULL_DRIVER_TOTAL", "85899345920"), NULL, 10);
    settings.free = strtoull(setting("NULL_DRIVER_FREE", "83751862272"), NULL, 10);
    settings.duration = (uint64_t)(atof(setting("NULL_DRIVER_KERNEL_MS", "0")) * 1e6);
    settings.checks = atoi(setting("NULL_DRIVER_CHECKS", "1")) != 0;
    const char *file = setting("NULL_DRIVER_REPORT", NULL);
    if (file != NULL)
        report = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const char *list = setting("NULL_DRIVER_FAIL", "");
    if (null_driver_fail(list) != 0) {
        fprintf(stderr, "null driver: NULL_DRIVER_FAIL=%s cannot be read\n", list);
        abort();
    }
}

/* ---- figures ---- */

void change(struct count *count, long by)
{
    count->live += by;
    if (by > 0)
        count->made += by;
    if (count->live > count->peak)
        count->peak = count->live;
}

#define COUNTS(member) {#member, &figures.member}
static struct {
    const char *name;
    struct count *count;
} COUNTED[] = {COUNTS(device),  COUNTS(device_bytes), COUNTS(pinned), COUNTS(pinned_bytes),
               COUNTS(streams), COUNTS(events),       COUNTS(modules)};
static struct {
    const char *name;
    long *number;
} NUMBERS[] = {{"launches", &figures.launches}, {"errors", &figures.errors}, {"faults", &figures.faults}};
#define LENGTH(table) (sizeof table / sizeof *table)

/* A figure by its name: "pinned", "pinned.peak", "pinned.made", "launches", the count of a call, "cuMemAlloc", or that
 * of a class of calls, "calls.copy". -1 if there is none of that name; calls that were never made are 0. */
API long null_driver_figure(const char *name)
{
    int locked __attribute__((cleanup(drop_lock), unused)) = take_lock();
    char full[64];
    for (size_t i = 0; i < LENGTH(COUNTED); i++) {
        const struct count *count = COUNTED[i].count;
        const struct {
            const char *end;
            long value;
        } ways[] = {{"", count->live}, {".peak", count->peak}, {".made", count->made}};
        for (size_t j = 0; j < LENGTH(ways); j++) {
            snprintf(full, sizeof full, "%s%s", COUNTED[i].name, ways[j].end);
            if (strcmp(name, full) == 0)
                return ways[j].value;
        }
    }
    for (size_t i = 0; i < LENGTH(NUMBERS); i++)
        if (strcmp(name, NUMBERS[i].name) == 0)
            return *NUMBERS[i].number;
    if (strncmp(name, "cu", 2) == 0) {
        for (const struct call *call = calls; call != NULL; call = call->next)
            if (strcmp(name, call->name) == 0)
                return call->count;
        return 0;
    }
    for (size_t i = 0; i < LENGTH(CLASSES); i++) {
        snprintf(full, sizeof full, "calls.%s", CLASSES[i].name);
        if (strcmp(name, full) != 0)
            continue;
        long sum = 0;
        for (const struct call *call = calls; call != NULL; call = call->next)
            sum += call->class == (enum class)i ? call->count : 0;
        return sum;
    }
    return -1;
}

/* Begin anew: counts of calls, peaks and faults are forgotten, lost devices are found. What is allocated stays. */
API void null_driver_reset(void)
{
    int locked __attribute__((cleanup(drop_lock), unused)) = take_lock();
    for (struct call *call = calls; call != NULL; call = call->next)
        call->count = 0;
    for (size_t i = 0; i < LENGTH(COUNTED); i++) {
        COUNTED[i].count->peak = COUNTED[i].count->live;
        COUNTED[i].count->made = 0;
    }
    for (size_t i = 0; i < LENGTH(NUMBERS); i++)
        *NUMBERS[i].number = 0;
    for (int i = 0; i < MOST_DEVICES; i++)
        devices[i].lost = SUCCESS;
    n_faults = 0;
}

/* ---- faults ---- */

static bool read_fault(char *text, struct fault *fault)
{
    char *rest = text;
    const char *target = strsep(&rest, ":"), *number = strsep(&rest, ":"), *word;
    if (number == NULL || strlen(target) >= sizeof fault->target)
        return false;
    *fault = (struct fault){.seen = 0};
    strcpy(fault->target, target);
    char *end;
    fault->number = strtol(number, &end, 10);
    fault->onwards = *end == '+';
    if (fault->number < 1 || strcmp(end, fault->onwards ? "+" : "") != 0)
        return false;
    while ((word = strsep(&rest, ":")) != NULL) {
        if (strcmp(word, "sticky") == 0) {
            fault->sticky = true;
            continue;
        }
        fault->code = (CUresult)strtol(word, &end, 10);
        if (*word == '\0' || *end != '\0' || fault->code < 1)
            return false;
    }
    return true;
}

/* Take a list of faults in place of those before; 0, or -1 if it cannot be read. Their calls count from now on. */
API int null_driver_fail(const char *list)
{
    int locked __attribute__((cleanup(drop_lock), unused)) = take_lock();
    char text[1024], *rest = text, *word;
    n_faults = 0;
    if (strlen(list) >= sizeof text)
        return -1;
    strcpy(text, list);
    while ((word = strsep(&rest, ",")) != NULL) {
        if (*word == '\0')
            continue;
        if (n_faults == MOST_FAULTS || !read_fault(word, &faults[n_faults]))
            return -1;
        n_faults++;
    }
    return 0;
}

API const char *null_driver_last_failed(void)
{
    return last_failed;
}

/* The code that a call is to return instead of being carried out; SUCCESS if none. */
static CUresult inject(const struct call *call)
{
    CUresult found = SUCCESS;
    for (struct fault *fault = faults; fault < faults + n_faults; fault++) {
        if (strcmp(fault->target, call->name) != 0 && strcmp(fault->target, CLASSES[call->class].name) != 0)
            continue;
        fault->seen++;
        if (found != SUCCESS || (fault->onwards ? fault->seen < fault->number : fault->seen != fault->number))
            continue;
        found = fault->code != SUCCESS ? fault->code : CLASSES[call->class].code;
        struct device *device = current_device();
        if (fault->sticky && device != NULL)
            device->lost = found;
        figures.faults++;
        last_failed = call->name;
        report_line("{\"event\":\"fault\",\"call\":\"%s\",\"number\":%ld,\"code\":%d,\"sticky\":%s}", call->name,
                    fault->seen, found, fault->sticky ? "true" : "false");
    }
    return found;
}

CUresult enter(struct call *call)
{
    if (!call->known) {
        call->known = true;
        call->next = calls;
        calls = call;
    }
    call->count++;
    struct device *device = current_device();
    if (device != NULL && device->lost != SUCCESS && call->class != OTHER)
        return device->lost;
    return inject(call);
}

/* Report that a call was wrong; returns the code. */
CUresult fail(struct call *call, CUresult code, const char *format, ...)
{
    char message[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    figures.errors++;
    report_line("{\"event\":\"error\",\"call\":\"%s\",\"code\":%d,\"message\":\"%s\"}", call->name, code, message);
    return code;
}

/* ---- the report ---- */

bool reports(void)
{
    return report >= 0;
}

/* Write a line, with a comma and the process' number put in front of the closing brace. */
void report_line(const char *format, ...)
{
    if (report < 0)
        return;
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 1)
        return;
    char *line = NULL;
    length = asprintf(&line, "%.*s,\"pid\":%d}\n", length - 1, text, (int)getpid());
    if (length > 0 && write(report, line, (size_t)length) != length)
        fprintf(stderr, "null driver: the report cannot be written\n");
    free(line);
    free(text);
}

__attribute__((destructor)) static void report_exit(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = report < 0 ? NULL : open_memstream(&text, &size);
    if (stream == NULL)
        return;
    for (size_t i = 0; i < LENGTH(COUNTED); i++) {
        const struct count *count = COUNTED[i].count;
        fprintf(stream, "\"%s\":{\"live\":%ld,\"peak\":%ld,\"made\":%ld},", COUNTED[i].name, count->live, count->peak,
                count->made);
    }
    for (size_t i = 0; i < LENGTH(NUMBERS); i++)
        fprintf(stream, "\"%s\":%ld,", NUMBERS[i].name, *NUMBERS[i].number);
    const char *comma = "\"calls\":{";
    for (const struct call *call = calls; call != NULL; call = call->next, comma = ",")
        fprintf(stream, "%s\"%s\":%ld", comma, call->name, call->count);
    fprintf(stream, "%s", calls == NULL ? "\"calls\":{}" : "}");
    fclose(stream);
    report_line("{\"event\":\"exit\",%s}", text);
    free(text);
}
