/* Copies and memsets: within live allocations only. */
#include "null_driver.h"

#include <string.h>

/* ---- copies ---- */

/* Check that bytes lie in one live allocation that the device can reach. */
static CUresult check_device(struct call *call, uint64_t address, size_t size, const char *end)
{
    if (size == 0)
        return SUCCESS;
    const struct block *block = find_block(address);
    if (block == NULL || (block->pinned && !block->mapped))
        return fail(call, INVALID_VALUE, "%s 0x%lx is no device memory", end, (unsigned long)address);
    if (!block->live)
        return fail(call, INVALID_VALUE, "%s 0x%lx is freed", end, (unsigned long)address);
    if (size > block->start + block->size - address)
        return fail(call, INVALID_VALUE, "%s: %lu bytes from byte %lu of an allocation of %lu", end,
                    (unsigned long)size, (unsigned long)(address - block->start), (unsigned long)block->size);
    return SUCCESS;
}

/* Check that bytes on the host are not device memory, nor pinned memory that is freed or ends before them. */
static CUresult check_host(struct call *call, uint64_t address, size_t size, const char *end)
{
    if (size == 0)
        return SUCCESS;
    if (in_device_arena(address))
        return fail(call, INVALID_VALUE, "%s 0x%lx is device memory", end, (unsigned long)address);
    if (!in_pinned_arena(address))
        return SUCCESS;
    const struct block *block = find_block(address);
    if (block == NULL || !block->live || size > block->start + block->size - address)
        return fail(call, INVALID_VALUE, "%s: %lu bytes from 0x%lx are not in a pinned allocation", end,
                    (unsigned long)size, (unsigned long)address);
    return SUCCESS;
}

enum side { HOST, DEVICE };

static CUresult copy(struct call *call, enum side to, uint64_t target, enum side from, uint64_t source, size_t size)
{
    CUresult status = (to == DEVICE ? check_device : check_host)(call, target, size, "target");
    if (status == SUCCESS)
        status = (from == DEVICE ? check_device : check_host)(call, source, size, "source");
    if (status == SUCCESS)
        memcpy((void *)target, (const void *)source, size);
    return status;
}

/* A copy in order with a stream: the bytes are copied at once, which no correct program can tell. */
static CUresult copy_async(struct call *call, struct device *device, void *stream, enum side to, uint64_t target,
                           enum side from, uint64_t source, size_t size)
{
    uint64_t *busy_until;
    CUresult status = find_clock(call, stream, device, &busy_until);
    return status != SUCCESS ? status : copy(call, to, target, from, source, size);
}

API CUresult cuMemcpyHtoD_v2(CUdeviceptr target, const void *source, size_t size)
{
    CALL_IN_CONTEXT("cuMemcpyHtoD", COPY);
    wait_until(device->default_busy_until);
    return copy(&call, DEVICE, target, HOST, (uint64_t)source, size);
}

API CUresult cuMemcpyDtoH_v2(void *target, CUdeviceptr source, size_t size)
{
    CALL_IN_CONTEXT("cuMemcpyDtoH", COPY);
    wait_until(device->default_busy_until);
    return copy(&call, HOST, (uint64_t)target, DEVICE, source, size);
}

API CUresult cuMemcpyDtoD_v2(CUdeviceptr target, CUdeviceptr source, size_t size)
{
    CALL_IN_CONTEXT("cuMemcpyDtoD", COPY);
    wait_until(device->default_busy_until);
    return copy(&call, DEVICE, target, DEVICE, source, size);
}

API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t size, void *stream)
{
    CALL_IN_CONTEXT("cuMemcpyHtoDAsync", COPY);
    return copy_async(&call, device, stream, DEVICE, target, HOST, (uint64_t)source, size);
}

API CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t size, void *stream)
{
    CALL_IN_CONTEXT("cuMemcpyDtoHAsync", COPY);
    return copy_async(&call, device, stream, HOST, (uint64_t)target, DEVICE, source, size);
}

API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t size, void *stream)
{
    CALL_IN_CONTEXT("cuMemcpyDtoDAsync", COPY);
    return copy_async(&call, device, stream, DEVICE, target, DEVICE, source, size);
}

/* ---- memsets ---- */

static CUresult fill(struct call *call, CUdeviceptr target, uint64_t value, size_t width, size_t count)
{
    if (target % width != 0)
        return fail(call, INVALID_VALUE, "0x%lx is not a multiple of %lu", (unsigned long)target, (unsigned long)width);
    CUresult status = check_device(call, target, width * count, "target");
    for (size_t i = 0; status == SUCCESS && i < count; i++)
        memcpy((char *)target + i * width, &value, width); /* little endian */
    return status;
}

#define MEMSET(name, suffix, type)                                                           \
    API CUresult name##suffix(CUdeviceptr target, type value, size_t count)                  \
    {                                                                                        \
        CALL_IN_CONTEXT(#name, COPY);                                                        \
        return fill(&call, target, value, sizeof value, count);                              \
    }                                                                                        \
    API CUresult name##Async(CUdeviceptr target, type value, size_t count, void *stream)     \
    {                                                                                        \
        CALL_IN_CONTEXT(#name "Async", COPY);                                                \
        uint64_t *busy_until;                                                                \
        CUresult status = find_clock(&call, stream, device, &busy_until);                    \
        return status != SUCCESS ? status : fill(&call, target, value, sizeof value, count); \
    }

MEMSET(cuMemsetD8, _v2, uint8_t)
MEMSET(cuMemsetD16, _v2, uint16_t)
MEMSET(cuMemsetD32, _v2, uint32_t)
