/* Handles, streams and events. Nothing runs: a stream is busy until a time that launches put off. */
#define _GNU_SOURCE
#include "null_driver.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>

#define MOST_OBJECTS (1L << 20)

/* ---- time ---- */

uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Sleep without the lock, as a driver blocks: signals do not end it. */
void wait_until(uint64_t time)
{
    if (time <= now())
        return;
    struct timespec end = {(time_t)(time / 1000000000u), (long)(time % 1000000000u)};
    drop_lock(NULL);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR)
        ;
    take_lock();
}

/* ---- handles ---- */

static struct object *objects;
static long n_objects;

struct object *new_object(enum kind kind, int device)
{
    if (objects == NULL) {
        size_t size = MOST_OBJECTS * sizeof *objects;
        void *place = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (place == MAP_FAILED)
            return NULL;
        objects = place;
    }
    if (n_objects == MOST_OBJECTS)
        return NULL;
    struct object *object = &objects[n_objects++];
    object->kind = kind;
    object->alive = true;
    object->device = device;
    return object;
}

CUresult check_object(struct call *call, const void *handle, enum kind kind, struct object **found)
{
    static const char *NAMES[] = {"", "stream", "event", "library", "kernel"};
    uintptr_t place = (uintptr_t)handle - (uintptr_t)objects;
    if (objects == NULL || place % sizeof *objects != 0 || place / sizeof *objects >= (uintptr_t)n_objects)
        return fail(call, INVALID_HANDLE, "%p is no %s", handle, NAMES[kind]);
    struct object *object = &objects[place / sizeof *objects];
    if (object->kind != kind)
        return fail(call, INVALID_HANDLE, "%p is no %s but a %s", handle, NAMES[kind], NAMES[object->kind]);
    if (!object->alive)
        return fail(call, INVALID_HANDLE, "the %s %p is destroyed", NAMES[kind], handle);
    *found = object;
    return SUCCESS;
}

/* ---- streams ---- */

API CUresult cuCtxSynchronize(void)
{
    CALL_IN_CONTEXT("cuCtxSynchronize", SYNC);
    wait_until(device->busy_until);
    return device->lost;
}

/* The default streams have handles of their own: 0, 1 (legacy) and 2 (per thread). */
static bool is_default(const void *stream)
{
    return (uintptr_t)stream <= 2;
}

/* Until when a stream of the current device is busy. */
CUresult find_clock(struct call *call, void *stream, struct device *device, uint64_t **busy_until)
{
    if (is_default(stream)) {
        *busy_until = &device->default_busy_until;
        return SUCCESS;
    }
    struct object *object;
    CUresult status = check_object(call, stream, STREAM_OBJECT, &object);
    if (status != SUCCESS)
        return status;
    if (object->device != number_of(device))
        return fail(call, INVALID_HANDLE, "a stream of device %d while device %d is current", object->device,
                    number_of(device));
    *busy_until = &object->busy_until;
    return SUCCESS;
}

API CUresult cuStreamCreateWithPriority(void **stream, unsigned flags, int priority)
{
    (void)priority;
    CALL_IN_CONTEXT("cuStreamCreateWithPriority", STREAM);
    struct object *object = new_object(STREAM_OBJECT, number_of(device));
    if (object == NULL)
        return OUT_OF_MEMORY;
    object->flags = flags;
    change(&figures.streams, 1);
    *stream = object;
    return SUCCESS;
}

API CUresult cuStreamCreate(void **stream, unsigned flags)
{
    return cuStreamCreateWithPriority(stream, flags, 0);
}

API CUresult cuStreamDestroy_v2(void *stream)
{
    CALL("cuStreamDestroy", FREE);
    struct object *object;
    CUresult status = check_object(&call, stream, STREAM_OBJECT, &object);
    if (status != SUCCESS)
        return status;
    object->alive = false;
    change(&figures.streams, -1);
    return SUCCESS;
}

/* The device that a stream belongs to. */
static CUresult find_device(struct call *call, void *stream, struct device **device)
{
    struct object *object;
    if (is_default(stream)) {
        *device = current_device();
        return *device != NULL ? SUCCESS : fail(call, INVALID_CONTEXT, "no context is current");
    }
    CUresult status = check_object(call, stream, STREAM_OBJECT, &object);
    if (status == SUCCESS)
        *device = &devices[object->device];
    return status;
}

#define STREAM_QUERY(text, class)                          \
    CALL(text, class);                                     \
    struct device *device;                                 \
    CUresult status = find_device(&call, stream, &device); \
    if (status != SUCCESS)                                 \
    return status

API CUresult cuStreamSynchronize(void *stream)
{
    STREAM_QUERY("cuStreamSynchronize", SYNC);
    wait_until(is_default(stream) ? device->default_busy_until : ((struct object *)stream)->busy_until);
    return device->lost;
}

API CUresult cuStreamQuery(void *stream)
{
    STREAM_QUERY("cuStreamQuery", SYNC);
    uint64_t busy_until = is_default(stream) ? device->default_busy_until : ((struct object *)stream)->busy_until;
    return now() < busy_until ? NOT_READY : device->lost;
}

API CUresult cuStreamGetCtx(void *stream, void **context)
{
    STREAM_QUERY("cuStreamGetCtx", QUERY);
    *context = device;
    return SUCCESS;
}

API CUresult cuStreamGetCtx_v2(void *stream, void **context, void **green)
{
    STREAM_QUERY("cuStreamGetCtx", QUERY);
    *context = device;
    if (green != NULL)
        *green = NULL;
    return SUCCESS;
}

API CUresult cuStreamGetDevice(void *stream, CUdevice *found)
{
    STREAM_QUERY("cuStreamGetDevice", QUERY);
    *found = number_of(device);
    return SUCCESS;
}

API CUresult cuStreamGetFlags(void *stream, unsigned *flags)
{
    STREAM_QUERY("cuStreamGetFlags", QUERY);
    *flags = is_default(stream) ? 0 : ((struct object *)stream)->flags;
    return SUCCESS;
}

API CUresult cuStreamGetPriority(void *stream, int *priority)
{
    STREAM_QUERY("cuStreamGetPriority", QUERY);
    *priority = 0;
    return SUCCESS;
}

API CUresult cuStreamIsCapturing(void *stream, int *capturing)
{
    STREAM_QUERY("cuStreamIsCapturing", QUERY);
    *capturing = 0;
    return SUCCESS;
}

/* ---- events ---- */

API CUresult cuEventCreate(void **event, unsigned flags)
{
    CALL_IN_CONTEXT("cuEventCreate", EVENT);
    struct object *object = new_object(EVENT_OBJECT, number_of(device));
    if (object == NULL)
        return OUT_OF_MEMORY;
    object->flags = flags;
    change(&figures.events, 1);
    *event = object;
    return SUCCESS;
}

API CUresult cuEventDestroy_v2(void *event)
{
    CALL("cuEventDestroy", FREE);
    struct object *object;
    CUresult status = check_object(&call, event, EVENT_OBJECT, &object);
    if (status != SUCCESS)
        return status;
    object->alive = false;
    change(&figures.events, -1);
    return SUCCESS;
}

API CUresult cuEventRecord(void *event, void *stream)
{
    CALL_IN_CONTEXT("cuEventRecord", EVENT);
    struct object *object;
    uint64_t *busy_until;
    CUresult status = check_object(&call, event, EVENT_OBJECT, &object);
    if (status == SUCCESS)
        status = find_clock(&call, stream, device, &busy_until);
    if (status != SUCCESS)
        return status;
    if (object->device != number_of(device))
        return fail(&call, INVALID_HANDLE, "an event of device %d on a stream of device %d", object->device,
                    number_of(device));
    uint64_t time = now();
    object->busy_until = *busy_until > time ? *busy_until : time;
    return SUCCESS;
}

API CUresult cuEventSynchronize(void *event)
{
    CALL("cuEventSynchronize", SYNC);
    struct object *object;
    CUresult status = check_object(&call, event, EVENT_OBJECT, &object);
    if (status != SUCCESS)
        return status;
    wait_until(object->busy_until);
    return devices[object->device].lost;
}

API CUresult cuEventQuery(void *event)
{
    CALL("cuEventQuery", SYNC);
    struct object *object;
    CUresult status = check_object(&call, event, EVENT_OBJECT, &object);
    if (status != SUCCESS)
        return status;
    return now() < object->busy_until ? NOT_READY : devices[object->device].lost;
}

API CUresult cuEventElapsedTime(float *milliseconds, void *start, void *end)
{
    CALL("cuEventElapsedTime", EVENT);
    struct object *first, *last;
    CUresult status = check_object(&call, start, EVENT_OBJECT, &first);
    if (status == SUCCESS)
        status = check_object(&call, end, EVENT_OBJECT, &last);
    if (status != SUCCESS)
        return status;
    if (first->busy_until == 0 || last->busy_until == 0)
        return fail(&call, INVALID_HANDLE, "an event that was never recorded");
    if (now() < first->busy_until || now() < last->busy_until)
        return NOT_READY;
    *milliseconds = (float)(((double)last->busy_until - (double)first->busy_until) / 1e6);
    return SUCCESS;
}

API CUresult cuStreamWaitEvent(void *stream, void *event, unsigned flags)
{
    (void)flags;
    CALL_IN_CONTEXT("cuStreamWaitEvent", EVENT);
    struct object *object;
    uint64_t *busy_until;
    CUresult status = check_object(&call, event, EVENT_OBJECT, &object);
    if (status == SUCCESS)
        status = find_clock(&call, stream, device, &busy_until);
    if (status == SUCCESS && *busy_until < object->busy_until)
        *busy_until = object->busy_until;
    return status;
}
