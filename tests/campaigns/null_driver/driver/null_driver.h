/* A CUDA driver without a GPU: what its files share. tests/campaigns/null_driver/__init__.py says what it is good for.
 *
 * Every function of the driver's API begins with CALL or CALL_IN_CONTEXT. They take the lock, count the call, and
 * return at once where a fault is to be injected, the device is lost, or no context is current.
 */
#ifndef NULL_DRIVER_H
#define NULL_DRIVER_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API __attribute__((visibility("default")))
#define MOST_DEVICES 8

typedef int CUresult;
typedef int CUdevice;
typedef uint64_t CUdeviceptr;

enum { /* CUresult */
       SUCCESS = 0,
       INVALID_VALUE = 1,
       OUT_OF_MEMORY = 2,
       NO_DEVICE = 100,
       INVALID_DEVICE = 101,
       INVALID_IMAGE = 200,
       INVALID_CONTEXT = 201,
       NO_BINARY_FOR_GPU = 209,
       INVALID_HANDLE = 400,
       NOT_FOUND = 500,
       NOT_READY = 600,
       ILLEGAL_ADDRESS = 700,
       LAUNCH_OUT_OF_RESOURCES = 701,
       CONTEXT_IS_DESTROYED = 709,
       HOST_MEMORY_NOT_REGISTERED = 713,
       MISALIGNED_ADDRESS = 716,
       LAUNCH_FAILED = 719,
       NOT_SUPPORTED = 801,
};

/* Settings, from environment variables NULL_DRIVER_...; defaults are those of an H100. */
struct settings {
    int devices;       /* NULL_DRIVER_DEVICES */
    int version;       /* NULL_DRIVER_VERSION, as 12.8: 12080 */
    int major, minor;  /* NULL_DRIVER_CAPABILITY, as 9.0 */
    const char *name;  /* NULL_DRIVER_NAME */
    uint64_t total;    /* NULL_DRIVER_TOTAL, bytes of each device */
    uint64_t free;     /* NULL_DRIVER_FREE, bytes of each device, before anything is allocated */
    uint64_t duration; /* NULL_DRIVER_KERNEL_MS, ns that every kernel keeps its stream busy */
    bool checks;       /* NULL_DRIVER_CHECKS: whether launches look at their arguments; 0 for timing them */
};
extern struct settings settings;

/* A device is its primary context, too: the address of one is the handle of the other. */
struct device {
    int retained;
    CUresult lost;       /* what every call returns after a sticky fault */
    uint64_t busy_until; /* of all streams together (ns, monotonic clock) */
    uint64_t default_busy_until;
    uint64_t bytes; /* allocated */
};
extern struct device devices[MOST_DEVICES];

/* Figures that tests read with null_driver_figure(name). */
struct count {
    long live, peak, made;
};
struct figures {
    struct count device, device_bytes, pinned, pinned_bytes, streams, events, modules;
    long launches, errors, faults;
};
extern struct figures figures;
void change(struct count *count, long by);

/* ---- calls (report.c) ---- */
/* Calls of class OTHER work on a lost device, too. */
enum class { OTHER, QUERY, ALLOC, PINNED, LAUNCH, COPY, SYNC, LOAD, EVENT, STREAM, FREE };

struct call {
    const char *name;
    enum class class;
    long count;
    bool known;
    struct call *next;
};

int take_lock(void);
void drop_lock(int *unused);
CUresult enter(struct call *call);
CUresult fail(struct call *call, CUresult code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void report_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool reports(void);

#define CALL(name, class)                                                 \
    static struct call call = {name, class, 0, false, NULL};              \
    int locked __attribute__((cleanup(drop_lock), unused)) = take_lock(); \
    CUresult injected = enter(&call);                                     \
    if (injected != SUCCESS)                                              \
    return injected

#define CALL_IN_CONTEXT(name, class)                                  \
    CALL(name, class);                                                \
    struct device *device __attribute__((unused)) = current_device(); \
    if (device == NULL)                                               \
        return fail(&call, INVALID_CONTEXT, "no context is current"); \
    if (device->retained == 0)                                        \
    return fail(&call, CONTEXT_IS_DESTROYED, "the context is destroyed")

/* ---- contexts, streams, events (device.c, stream.c) ---- */
struct device *current_device(void);
int number_of(const struct device *device);
uint64_t now(void);
void wait_until(uint64_t time);

/* What a handle points to. Places are never used twice: a handle that was destroyed stays known as such. */
enum kind { NOTHING, STREAM_OBJECT, EVENT_OBJECT, LIBRARY_OBJECT, KERNEL_OBJECT };
struct object {
    enum kind kind;
    bool alive;
    int device;
    unsigned flags;
    uint64_t busy_until; /* of streams; of events: when what was recorded is done, 0 if nothing was */
    void *detail;        /* of libraries and kernels */
};
struct object *new_object(enum kind kind, int device);
CUresult check_object(struct call *call, const void *handle, enum kind kind, struct object **found);
CUresult find_clock(struct call *call, void *stream, struct device *device, uint64_t **busy_until);

/* ---- memory (memory.c) ---- */
struct block {
    uint64_t start, size;
    int device;
    bool live, mapped, pinned;
};
bool in_device_arena(uint64_t address);
bool in_pinned_arena(uint64_t address);
const struct block *find_block(uint64_t address);
CUresult new_block(struct call *call, uint64_t size, int device, CUdeviceptr *address);

/* ---- modules (image.c, module.c) ---- */
struct parameter {
    unsigned offset, size;
};
struct kernel {
    char *name;
    struct library *library;
    struct parameter *parameters;
    unsigned n_parameters, parameter_bytes;
    unsigned registers, stack, shared, threads, symbol;
    struct object *object;
};

struct library {
    char *image;
    const Elf64_Shdr *sections;
    int n_sections;
    const char *names;
    const Elf64_Sym *symbols;
    size_t n_symbols;
    const char *symbol_names;
    struct kernel *kernels;
    unsigned n_kernels;
    CUdeviceptr *globals; /* of each symbol, for each device; 0 before it is asked for */
};
CUresult read_library(struct call *call, const void *image, struct library *library);

#endif
