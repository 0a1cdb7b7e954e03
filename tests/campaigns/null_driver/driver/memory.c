/* Device memory and pinned memory: host memory in two reserved ranges of addresses, in which no address is used twice.
 *
 * A freed block is taken back by the system: whoever still reads it on the host is killed, and what still names it in a
 * copy or a launch is found out. A page that nobody may touch lies behind each block.
 */
#define _GNU_SOURCE
#include "null_driver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u
#define ARENA_BYTES (1ull << 40)

struct arena {
    const char *name;
    uint64_t start, next; /* addresses; 0 before the first block */
    struct block *blocks; /* sorted, as addresses only grow */
    long n_blocks, room;
};
static struct arena device_arena = {.name = "device"}, pinned_arena = {.name = "pinned"};

/* Host memory of others that was registered; few at a time. */
#define MOST_REGISTERED 256
static struct block registered[MOST_REGISTERED];

static bool reserve(struct arena *arena)
{
    if (arena->start != 0)
        return true;
    void *place = mmap(NULL, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED)
        return false;
    arena->start = arena->next = (uint64_t)place;
    return true;
}

static uint64_t whole_pages(uint64_t size)
{
    return (size + PAGE - 1) / PAGE * PAGE;
}

static struct block *make_block(struct arena *arena, uint64_t size)
{
    if (!reserve(arena) || size > arena->start + ARENA_BYTES - arena->next - 2 * PAGE)
        return NULL;
    if (arena->n_blocks == arena->room) {
        long room = arena->room > 0 ? 2 * arena->room : 1024;
        struct block *larger = realloc(arena->blocks, (size_t)room * sizeof *larger);
        if (larger == NULL)
            return NULL;
        arena->blocks = larger;
        arena->room = room;
    }
    if (mprotect((void *)arena->next, whole_pages(size), PROT_READ | PROT_WRITE) != 0)
        return NULL;
    struct block *block = &arena->blocks[arena->n_blocks++];
    *block = (struct block){.start = arena->next, .size = size, .live = true};
    arena->next += whole_pages(size) + PAGE;
    return block;
}

static void drop_block(struct block *block)
{
    block->live = false;
    mmap((void *)block->start, whole_pages(block->size), PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static bool in_arena(const struct arena *arena, uint64_t address)
{
    return arena->start != 0 && address >= arena->start && address - arena->start < ARENA_BYTES;
}

bool in_device_arena(uint64_t address)
{
    return in_arena(&device_arena, address);
}

bool in_pinned_arena(uint64_t address)
{
    return in_arena(&pinned_arena, address);
}

/* The block of an arena, live or freed, in which an address lies; NULL if none. */
static struct block *block_at(const struct arena *arena, uint64_t address)
{
    long low = 0, high = arena->n_blocks;
    while (low < high) {
        long middle = (low + high) / 2;
        if (arena->blocks[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    struct block *block = low > 0 ? &arena->blocks[low - 1] : NULL;
    return block != NULL && address - block->start < block->size ? block : NULL;
}

const struct block *find_block(uint64_t address)
{
    if (in_device_arena(address))
        return block_at(&device_arena, address);
    if (in_pinned_arena(address))
        return block_at(&pinned_arena, address);
    for (const struct block *block = registered; block < registered + MOST_REGISTERED; block++)
        if (block->live && address - block->start < block->size)
            return block;
    return NULL;
}

/* ---- device memory ---- */

/* Memory that is counted neither as an allocation nor against what is free: for the variables of modules. */
CUresult new_block(struct call *call, uint64_t size, int device, CUdeviceptr *address)
{
    struct block *block = make_block(&device_arena, size);
    if (block == NULL)
        return fail(call, OUT_OF_MEMORY, "no memory on the host for %lu bytes", (unsigned long)size);
    block->device = device;
    *address = block->start;
    return SUCCESS;
}

API CUresult cuMemGetInfo_v2(size_t *free, size_t *total)
{
    CALL_IN_CONTEXT("cuMemGetInfo", QUERY);
    *free = settings.free - device->bytes;
    *total = settings.total;
    return SUCCESS;
}

API CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t size)
{
    CALL_IN_CONTEXT("cuMemAlloc", ALLOC);
    if (size == 0)
        return fail(&call, INVALID_VALUE, "an allocation of 0 bytes");
    if (size > settings.free - device->bytes)
        return OUT_OF_MEMORY; /* nothing wrong with the call */
    CUresult status = new_block(&call, size, number_of(device), address);
    if (status != SUCCESS)
        return status;
    device->bytes += size;
    change(&figures.device, 1);
    change(&figures.device_bytes, (long)size);
    return SUCCESS;
}

API CUresult cuMemFree_v2(CUdeviceptr address)
{
    CALL_IN_CONTEXT("cuMemFree", FREE);
    if (address == 0)
        return SUCCESS;
    struct block *block = in_device_arena(address) ? block_at(&device_arena, address) : NULL;
    if (block == NULL || block->start != address)
        return fail(&call, INVALID_VALUE, "0x%lx is no allocation of device memory", (unsigned long)address);
    if (!block->live)
        return fail(&call, INVALID_VALUE, "0x%lx is freed twice", (unsigned long)address);
    drop_block(block);
    devices[block->device].bytes -= block->size;
    change(&figures.device, -1);
    change(&figures.device_bytes, -(long)block->size);
    return SUCCESS;
}

API CUresult cuMemGetAddressRange_v2(CUdeviceptr *start, size_t *size, CUdeviceptr address)
{
    CALL_IN_CONTEXT("cuMemGetAddressRange", QUERY);
    const struct block *block = find_block(address);
    if (block == NULL || !block->live)
        return fail(&call, NOT_FOUND, "0x%lx lies in no allocation", (unsigned long)address);
    if (start != NULL)
        *start = block->start;
    if (size != NULL)
        *size = block->size;
    return SUCCESS;
}

/* ---- pinned memory ---- */

#define HOSTALLOC_DEVICEMAP 2u /* CU_MEMHOSTALLOC_DEVICEMAP, and CU_MEMHOSTREGISTER_DEVICEMAP */

API CUresult cuMemHostAlloc(void **address, size_t size, unsigned flags)
{
    CALL_IN_CONTEXT("cuMemHostAlloc", PINNED);
    if (size == 0)
        return fail(&call, INVALID_VALUE, "an allocation of 0 bytes");
    struct block *block = make_block(&pinned_arena, size);
    if (block == NULL)
        return OUT_OF_MEMORY;
    block->device = number_of(device);
    block->pinned = true;
    block->mapped = (flags & HOSTALLOC_DEVICEMAP) != 0;
    change(&figures.pinned, 1);
    change(&figures.pinned_bytes, (long)size);
    *address = (void *)block->start;
    return SUCCESS;
}

API CUresult cuMemAllocHost_v2(void **address, size_t size)
{
    return cuMemHostAlloc(address, size, 0);
}

API CUresult cuMemFreeHost(void *address)
{
    CALL_IN_CONTEXT("cuMemFreeHost", FREE);
    struct block *block = in_pinned_arena((uint64_t)address) ? block_at(&pinned_arena, (uint64_t)address) : NULL;
    if (block == NULL || block->start != (uint64_t)address)
        return fail(&call, INVALID_VALUE, "%p is no allocation of pinned memory", address);
    if (!block->live)
        return fail(&call, INVALID_VALUE, "%p is freed twice", address);
    drop_block(block);
    change(&figures.pinned, -1);
    change(&figures.pinned_bytes, -(long)block->size);
    return SUCCESS;
}

API CUresult cuMemHostRegister_v2(void *address, size_t size, unsigned flags)
{
    CALL_IN_CONTEXT("cuMemHostRegister", PINNED);
    for (struct block *block = registered; block < registered + MOST_REGISTERED; block++) {
        if (block->live)
            continue;
        *block =
            (struct block){(uint64_t)address, size, number_of(device), true, (flags & HOSTALLOC_DEVICEMAP) != 0, true};
        change(&figures.pinned, 1);
        change(&figures.pinned_bytes, (long)size);
        return SUCCESS;
    }
    return OUT_OF_MEMORY;
}

API CUresult cuMemHostUnregister(void *address)
{
    CALL_IN_CONTEXT("cuMemHostUnregister", FREE);
    for (struct block *block = registered; block < registered + MOST_REGISTERED; block++) {
        if (!block->live || block->start != (uint64_t)address)
            continue;
        block->live = false;
        change(&figures.pinned, -1);
        change(&figures.pinned_bytes, -(long)block->size);
        return SUCCESS;
    }
    return fail(&call, HOST_MEMORY_NOT_REGISTERED, "%p is not registered", address);
}

API CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *found, void *address, unsigned flags)
{
    (void)flags;
    CALL_IN_CONTEXT("cuMemHostGetDevicePointer", QUERY);
    const struct block *block = find_block((uint64_t)address);
    if (block == NULL || !block->live || !block->pinned)
        return fail(&call, INVALID_VALUE, "%p lies in no pinned memory", address);
    if (!block->mapped)
        return fail(&call, INVALID_VALUE, "%p was not allocated with CU_MEMHOSTALLOC_DEVICEMAP", address);
    *found = (CUdeviceptr)address;
    return SUCCESS;
}

API CUresult cuMemHostGetFlags(unsigned *flags, void *address)
{
    CALL_IN_CONTEXT("cuMemHostGetFlags", QUERY);
    const struct block *block = find_block((uint64_t)address);
    if (block == NULL || !block->live || !block->pinned)
        return fail(&call, INVALID_VALUE, "%p lies in no pinned memory", address);
    *flags = block->mapped ? HOSTALLOC_DEVICEMAP : 0;
    return SUCCESS;
}

API CUresult cuPointerGetAttribute(void *value, int attribute, CUdeviceptr address)
{
    CALL("cuPointerGetAttribute", QUERY);
    const struct block *block = find_block(address);
    if (block == NULL || !block->live)
        return INVALID_VALUE; /* the way to ask whether it is memory of CUDA at all */
    switch (attribute) {
    case 1: /* CONTEXT */
        *(void **)value = &devices[block->device];
        return SUCCESS;
    case 2: /* MEMORY_TYPE: HOST or DEVICE */
        *(unsigned *)value = block->pinned ? 1 : 2;
        return SUCCESS;
    case 3: /* DEVICE_POINTER */
        *(CUdeviceptr *)value = address;
        return SUCCESS;
    case 4: /* HOST_POINTER */
        *(void **)value = block->pinned ? (void *)address : NULL;
        return block->pinned ? SUCCESS : INVALID_VALUE;
    case 8: /* IS_MANAGED */
        *(unsigned *)value = 0;
        return SUCCESS;
    case 9: /* DEVICE_ORDINAL */
        *(int *)value = block->device;
        return SUCCESS;
    case 11: /* RANGE_START_ADDR */
        *(CUdeviceptr *)value = block->start;
        return SUCCESS;
    case 12: /* RANGE_SIZE */
        *(size_t *)value = block->size;
        return SUCCESS;
    default:
        return fail(&call, NOT_SUPPORTED, "attribute %d", attribute);
    }
}
