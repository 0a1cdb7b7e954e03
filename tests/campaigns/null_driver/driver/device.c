/* The driver, its devices, and their primary contexts. */
#include "null_driver.h"

#include <stdio.h>
#include <string.h>

#define DEEPEST 64

struct device devices[MOST_DEVICES];

static __thread struct device *stack[DEEPEST]; /* current contexts of a thread */
static __thread int depth;

/* ---- the driver and its devices ---- */

API CUresult cuInit(unsigned flags)
{
    (void)flags;
    CALL("cuInit", OTHER);
    return settings.devices > 0 ? SUCCESS : NO_DEVICE;
}

API CUresult cuDriverGetVersion(int *version)
{
    CALL("cuDriverGetVersion", OTHER);
    *version = settings.version;
    return SUCCESS;
}

API CUresult cuDeviceGetCount(int *count)
{
    CALL("cuDeviceGetCount", OTHER);
    *count = settings.devices;
    return SUCCESS;
}

#define CHECK_DEVICE(number)                          \
    if ((number) < 0 || (number) >= settings.devices) \
    return fail(&call, INVALID_DEVICE, "there is no device %d", number)

API CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    CALL("cuDeviceGet", OTHER);
    CHECK_DEVICE(ordinal);
    *device = ordinal;
    return SUCCESS;
}

API CUresult cuDeviceGetName(char *name, int length, CUdevice device)
{
    CALL("cuDeviceGetName", OTHER);
    CHECK_DEVICE(device);
    snprintf(name, (size_t)length, "%s", settings.name);
    return SUCCESS;
}

API CUresult cuDeviceGetUuid_v2(char *uuid, CUdevice device)
{
    CALL("cuDeviceGetUuid", OTHER);
    CHECK_DEVICE(device);
    memset(uuid, 0x10 + device, 16);
    return SUCCESS;
}

API CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    CALL("cuDeviceTotalMem", OTHER);
    CHECK_DEVICE(device);
    *bytes = settings.total;
    return SUCCESS;
}

/* CUdevice_attribute: what an H100 answers; attributes that are not here are 0. */
static const int ATTRIBUTES[][2] = {
    {1, 1024},                                     /* MAX_THREADS_PER_BLOCK */
    {2, 1024},                                     /* MAX_BLOCK_DIM_X, Y, Z */
    {3, 1024},        {4, 64},    {5, 2147483647}, /* MAX_GRID_DIM_X, Y, Z */
    {6, 65535},       {7, 65535}, {8, 49152},      /* MAX_SHARED_MEMORY_PER_BLOCK */
    {9, 65536},                                    /* TOTAL_CONSTANT_MEMORY */
    {10, 32},                                      /* WARP_SIZE */
    {11, 2147483647},                              /* MAX_PITCH */
    {12, 65536},                                   /* MAX_REGISTERS_PER_BLOCK */
    {13, 1980000},                                 /* CLOCK_RATE, kHz */
    {14, 512},                                     /* TEXTURE_ALIGNMENT */
    {15, 1},                                       /* GPU_OVERLAP */
    {16, 132},                                     /* MULTIPROCESSOR_COUNT */
    {19, 1},                                       /* CAN_MAP_HOST_MEMORY */
    {31, 1},                                       /* CONCURRENT_KERNELS */
    {36, 2619000},                                 /* MEMORY_CLOCK_RATE, kHz */
    {37, 5120},                                    /* GLOBAL_MEMORY_BUS_WIDTH */
    {38, 52428800},                                /* L2_CACHE_SIZE */
    {39, 2048},                                    /* MAX_THREADS_PER_MULTIPROCESSOR */
    {40, 3},                                       /* ASYNC_ENGINE_COUNT */
    {41, 1},                                       /* UNIFIED_ADDRESSING */
    {78, 1},                                       /* STREAM_PRIORITIES_SUPPORTED */
    {81, 233472},                                  /* MAX_SHARED_MEMORY_PER_MULTIPROCESSOR */
    {82, 65536},                                   /* MAX_REGISTERS_PER_MULTIPROCESSOR */
    {90, 1},                                       /* COMPUTE_PREEMPTION_SUPPORTED */
    {95, 1},                                       /* COOPERATIVE_LAUNCH */
    {97, 232448},                                  /* MAX_SHARED_MEMORY_PER_BLOCK_OPTIN */
    {106, 32},                                     /* MAX_BLOCKS_PER_MULTIPROCESSOR */
    {111, 1024},                                   /* RESERVED_SHARED_MEMORY_PER_BLOCK */
};

API CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device)
{
    CALL("cuDeviceGetAttribute", OTHER);
    CHECK_DEVICE(device);
    *value = attribute == 75 ? settings.major : attribute == 76 ? settings.minor : 0;
    for (size_t i = 0; i < sizeof ATTRIBUTES / sizeof *ATTRIBUTES; i++)
        if (ATTRIBUTES[i][0] == attribute)
            *value = ATTRIBUTES[i][1];
    return SUCCESS;
}

API CUresult cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer)
{
    CALL("cuDeviceCanAccessPeer", OTHER);
    CHECK_DEVICE(device);
    CHECK_DEVICE(peer);
    *can = 0;
    return SUCCESS;
}

/* ---- contexts ---- */

struct device *current_device(void)
{
    return depth > 0 ? stack[depth - 1] : NULL;
}

int number_of(const struct device *device)
{
    return (int)(device - devices);
}

static bool is_context(const void *context)
{
    for (int i = 0; i < settings.devices; i++)
        if (context == &devices[i])
            return true;
    return false;
}

#define CHECK_CONTEXT(context) \
    if (!is_context(context))  \
    return fail(&call, INVALID_CONTEXT, "%p is no context", context)

API CUresult cuDevicePrimaryCtxRetain(void **context, CUdevice device)
{
    CALL("cuDevicePrimaryCtxRetain", OTHER);
    CHECK_DEVICE(device);
    devices[device].retained++;
    *context = &devices[device];
    return SUCCESS;
}

API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    CALL("cuDevicePrimaryCtxRelease", OTHER);
    CHECK_DEVICE(device);
    if (devices[device].retained == 0)
        return fail(&call, INVALID_CONTEXT, "the context of device %d is released more often than retained", device);
    devices[device].retained--;
    return SUCCESS;
}

API CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
    CALL("cuDevicePrimaryCtxReset", OTHER);
    CHECK_DEVICE(device);
    devices[device].lost = SUCCESS;
    return SUCCESS;
}

API CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active)
{
    CALL("cuDevicePrimaryCtxGetState", OTHER);
    CHECK_DEVICE(device);
    *flags = 0;
    *active = devices[device].retained > 0;
    return SUCCESS;
}

API CUresult cuCtxGetCurrent(void **context)
{
    CALL("cuCtxGetCurrent", OTHER);
    *context = current_device();
    return SUCCESS;
}

API CUresult cuCtxPushCurrent_v2(void *context)
{
    CALL("cuCtxPushCurrent", OTHER);
    CHECK_CONTEXT(context);
    if (depth == DEEPEST)
        return fail(&call, INVALID_CONTEXT, "%d contexts are current: some are never popped", DEEPEST);
    stack[depth++] = context;
    return SUCCESS;
}

API CUresult cuCtxPopCurrent_v2(void **context)
{
    CALL("cuCtxPopCurrent", OTHER);
    if (depth == 0)
        return fail(&call, INVALID_CONTEXT, "no context is current");
    depth--;
    if (context != NULL)
        *context = stack[depth];
    return SUCCESS;
}

API CUresult cuCtxSetCurrent(void *context)
{
    CALL("cuCtxSetCurrent", OTHER);
    if (depth > 0)
        depth--;
    if (context == NULL)
        return SUCCESS;
    CHECK_CONTEXT(context);
    stack[depth++] = context;
    return SUCCESS;
}

API CUresult cuCtxGetDevice(CUdevice *found)
{
    CALL_IN_CONTEXT("cuCtxGetDevice", OTHER);
    *found = number_of(device);
    return SUCCESS;
}

API CUresult cuCtxGetDevice_v2(CUdevice *found, void *context)
{
    CALL("cuCtxGetDevice", OTHER);
    void *wanted = context != NULL ? context : current_device();
    CHECK_CONTEXT(wanted);
    *found = number_of(wanted);
    return SUCCESS;
}

API CUresult cuCtxGetFlags(unsigned *flags)
{
    CALL_IN_CONTEXT("cuCtxGetFlags", OTHER);
    *flags = 0;
    return SUCCESS;
}

API CUresult cuCtxGetId(void *context, unsigned long long *identity)
{
    CALL("cuCtxGetId", OTHER);
    void *wanted = context != NULL ? context : current_device();
    CHECK_CONTEXT(wanted);
    *identity = (unsigned long long)number_of(wanted) + 1;
    return SUCCESS;
}

API CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    CALL_IN_CONTEXT("cuCtxGetStreamPriorityRange", OTHER);
    *least = 0;
    *greatest = -5;
    return SUCCESS;
}
