/* Launches: nothing is computed, but everything that was handed over is looked at. */
#define _GNU_SOURCE
#include "null_driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_SHARED 49152u      /* bytes of a block, unless a kernel asks for more */
#define LEAST_HOST (1ull << 40) /* where 64-bit programs have their memory: from here on a number may be an address */
#define MOST_HOST (1ull << 47)

/* CUlaunchConfig */
struct configuration {
    unsigned grid[3], block[3], shared;
    void *stream;
    void *attributes;
    unsigned n_attributes;
};

/* Copy n pieces of this process' own memory to `target`, one after the other; returns the number of bytes before the
 * first that cannot be read. Asking the system does not end the process, as reading would. */
static size_t read_pieces(void *target, const struct iovec *pieces, size_t n)
{
    size_t done = 0;
    for (size_t first = 0; first < n; first += 512) {
        size_t some = n - first < 512 ? n - first : 512, wanted = 0;
        for (size_t i = 0; i < some; i++)
            wanted += pieces[first + i].iov_len;
        struct iovec local = {(char *)target + done, wanted};
        ssize_t got = process_vm_readv(getpid(), &local, 1, pieces + first, some, 0);
        if (got < 0 && (errno == EPERM || errno == ENOSYS)) { /* not allowed here: trust the program */
            for (size_t i = 0, at = done; i < some; at += pieces[first + i].iov_len, i++)
                memcpy((char *)target + at, pieces[first + i].iov_base, pieces[first + i].iov_len);
            got = (ssize_t)wanted;
        }
        done += got > 0 ? (size_t)got : 0;
        if (got != (ssize_t)wanted)
            break;
    }
    return done;
}

/* Copy the arguments of a launch to `values`, one behind the other. */
static CUresult read_arguments(struct call *call, const struct kernel *kernel, void **arguments, unsigned char *values)
{
    static void *places[4096];
    static struct iovec pieces[4096];
    struct iovec table = {arguments, kernel->n_parameters * sizeof *arguments};
    if (kernel->n_parameters == 0)
        return SUCCESS;
    if (arguments == NULL || read_pieces(places, &table, 1) != table.iov_len)
        return fail(call, INVALID_VALUE, "%s: the table of %u arguments cannot be read", kernel->name,
                    kernel->n_parameters);
    size_t total = 0;
    for (unsigned i = 0; i < kernel->n_parameters; i++) {
        unsigned size = kernel->parameters[i].size;
        unsigned natural = size == 2 || size == 4 || size == 8 || size == 16 ? size : 1;
        if ((uintptr_t)places[i] % natural != 0)
            return fail(call, MISALIGNED_ADDRESS, "%s: argument %u lies at %p, which is no multiple of its %u bytes",
                        kernel->name, i, places[i], size);
        pieces[i] = (struct iovec){places[i], size};
        total += size;
    }
    size_t good = read_pieces(values, pieces, kernel->n_parameters);
    if (good == total)
        return SUCCESS;
    for (unsigned i = 0; i < kernel->n_parameters; i++) {
        if (good < pieces[i].iov_len)
            return fail(call, INVALID_VALUE, "%s: argument %u at %p cannot be read", kernel->name, i, places[i]);
        good -= pieces[i].iov_len;
    }
    return fail(call, INVALID_VALUE, "%s: the arguments cannot be read", kernel->name);
}

/* The other way to hand them over: one buffer, laid out as the kernel's parameters are. */
static CUresult read_buffer(struct call *call, const struct kernel *kernel, void **extra, unsigned char *values)
{
    const unsigned char *buffer = NULL;
    size_t size = 0;
    for (; *extra != NULL; extra += 2) {
        if (*extra == (void *)1) /* CU_LAUNCH_PARAM_BUFFER_POINTER */
            buffer = extra[1];
        if (*extra == (void *)2) /* CU_LAUNCH_PARAM_BUFFER_SIZE */
            size = *(const size_t *)extra[1];
    }
    if (buffer == NULL || size != kernel->parameter_bytes)
        return fail(call, INVALID_VALUE, "%s: a buffer of %lu bytes for %u bytes of parameters", kernel->name,
                    (unsigned long)size, kernel->parameter_bytes);
    for (unsigned i = 0; i < kernel->n_parameters; values += kernel->parameters[i].size, i++)
        memcpy(values, buffer + kernel->parameters[i].offset, kernel->parameters[i].size);
    return SUCCESS;
}

static bool is_host_memory(uint64_t address)
{
    unsigned char state;
    if (address < LEAST_HOST || address >= MOST_HOST)
        return false;
    return mincore((void *)(address & ~4095ull), 1, &state) == 0 || errno != ENOMEM;
}

/* Check a parameter of 8 bytes: an address has to be that of memory that this device can reach. */
static CUresult check_address(struct call *call, const struct kernel *kernel, unsigned index, uint64_t value,
                              int device)
{
    const struct block *block = find_block(value);
    const char *wrong = NULL;
    if (block == NULL && (in_device_arena(value) || in_pinned_arena(value)))
        wrong = "lies in no allocation";
    else if (block == NULL && is_host_memory(value))
        wrong = "is memory of the host";
    else if (block != NULL && !block->live)
        wrong = "is freed";
    else if (block != NULL && block->pinned && !block->mapped)
        wrong = "is pinned memory that is not mapped";
    else if (block != NULL && !block->pinned && block->device != device)
        wrong = "is memory of another device";
    if (wrong == NULL)
        return SUCCESS;
    return fail(call, ILLEGAL_ADDRESS, "%s: argument %u is 0x%lx, which %s", kernel->name, index, (unsigned long)value,
                wrong);
}

static CUresult check_values(struct call *call, const struct kernel *kernel, const unsigned char *values, int device)
{
    for (unsigned i = 0; i < kernel->n_parameters; values += kernel->parameters[i].size, i++) {
        uint64_t value;
        if (kernel->parameters[i].size != sizeof value)
            continue;
        memcpy(&value, values, sizeof value);
        CUresult status = check_address(call, kernel, i, value, device);
        if (status != SUCCESS)
            return status;
    }
    return SUCCESS;
}

static CUresult check_shape(struct call *call, const struct kernel *kernel, const struct configuration *shape)
{
    static const unsigned MOST_GRID[] = {2147483647u, 65535u, 65535u}, MOST_BLOCK[] = {1024u, 1024u, 64u};
    for (int i = 0; i < 3; i++) {
        if (shape->grid[i] == 0 || shape->grid[i] > MOST_GRID[i])
            return fail(call, INVALID_VALUE, "%s: a grid of %u x %u x %u", kernel->name, shape->grid[0], shape->grid[1],
                        shape->grid[2]);
        if (shape->block[i] == 0 || shape->block[i] > MOST_BLOCK[i])
            return fail(call, INVALID_VALUE, "%s: blocks of %u x %u x %u", kernel->name, shape->block[0],
                        shape->block[1], shape->block[2]);
    }
    unsigned threads = shape->block[0] * shape->block[1] * shape->block[2];
    if (threads > kernel->threads)
        return fail(call, INVALID_VALUE, "%s: blocks of %u threads, compiled for %u", kernel->name, threads,
                    kernel->threads);
    if (threads * ((kernel->registers + 7) / 8 * 8) > 65536u)
        return fail(call, LAUNCH_OUT_OF_RESOURCES, "%s: %u threads of %u registers", kernel->name, threads,
                    kernel->registers);
    if (kernel->shared + shape->shared > MOST_SHARED)
        return fail(call, INVALID_VALUE, "%s: %u bytes of shared memory", kernel->name, kernel->shared + shape->shared);
    return SUCCESS;
}

/* Report a launch: sizes and values of its arguments, and which of them are addresses, with the bytes of the allocation
 * and the place in it. */
static void report_launch(const struct kernel *kernel, const struct configuration *shape, const unsigned char *values,
                          int device)
{
    char *text = NULL, *pointers = NULL;
    size_t size, pointers_size;
    if (!reports())
        return;
    FILE *line = open_memstream(&text, &size), *places = open_memstream(&pointers, &pointers_size);
    fprintf(line, "\"device\":%d,\"grid\":[%u,%u,%u],\"block\":[%u,%u,%u],\"shared\":%u,\"sizes\":[", device,
            shape->grid[0], shape->grid[1], shape->grid[2], shape->block[0], shape->block[1], shape->block[2],
            kernel->shared + shape->shared);
    for (unsigned i = 0; i < kernel->n_parameters; i++)
        fprintf(line, "%s%u", i > 0 ? "," : "", kernel->parameters[i].size);
    fprintf(line, "],\"values\":[");
    const char *comma = "";
    for (unsigned i = 0; i < kernel->n_parameters; values += kernel->parameters[i].size, i++) {
        uint64_t value = 0;
        unsigned bytes = kernel->parameters[i].size;
        memcpy(&value, values, bytes < sizeof value ? bytes : sizeof value);
        fprintf(line, "%s%lu", i > 0 ? "," : "", (unsigned long)value);
        const struct block *block = bytes == sizeof value ? find_block(value) : NULL;
        if (block == NULL)
            continue;
        fprintf(places, "%s[%u,%lu,%lu]", comma, i, (unsigned long)block->size, (unsigned long)(value - block->start));
        comma = ",";
    }
    fclose(line);
    fclose(places);
    report_line("{\"event\":\"launch\",\"kernel\":\"%s\",%s],\"pointers\":[%s]}", kernel->name, text, pointers);
    free(text);
    free(pointers);
}

static CUresult check_arguments(struct call *call, const struct kernel *kernel, const struct configuration *shape,
                                void **arguments, void **extra, int device)
{
    static unsigned char values[65536];
    CUresult status =
        extra != NULL ? read_buffer(call, kernel, extra, values) : read_arguments(call, kernel, arguments, values);
    if (status == SUCCESS)
        status = check_values(call, kernel, values, device);
    if (status == SUCCESS)
        report_launch(kernel, shape, values, device);
    return status;
}

static CUresult launch(struct call *call, struct device *device, void *handle, const struct configuration *shape,
                       void **arguments, void **extra)
{
    struct object *object;
    uint64_t *busy_until;
    CUresult status = check_object(call, handle, KERNEL_OBJECT, &object);
    if (status == SUCCESS)
        status = find_clock(call, shape->stream, device, &busy_until);
    if (status != SUCCESS)
        return status;
    const struct kernel *kernel = object->detail;
    if (object->device >= 0 && object->device != number_of(device))
        return fail(call, INVALID_HANDLE, "%s: loaded on device %d while %d is current", kernel->name, object->device,
                    number_of(device));
    status = check_shape(call, kernel, shape);
    if (status == SUCCESS && settings.checks)
        status = check_arguments(call, kernel, shape, arguments, extra, number_of(device));
    if (status != SUCCESS)
        return status;
    figures.launches++;
    if (settings.duration > 0) {
        uint64_t time = now();
        *busy_until = (*busy_until > time ? *busy_until : time) + settings.duration;
        device->busy_until = *busy_until > device->busy_until ? *busy_until : device->busy_until;
    }
    return SUCCESS;
}

API CUresult cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                            unsigned block_y, unsigned block_z, unsigned shared, void *stream, void **arguments,
                            void **extra)
{
    CALL_IN_CONTEXT("cuLaunchKernel", LAUNCH);
    struct configuration shape = {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, stream, NULL, 0};
    return launch(&call, device, function, &shape, arguments, extra);
}

API CUresult cuLaunchKernelEx(const struct configuration *shape, void *function, void **arguments, void **extra)
{
    CALL_IN_CONTEXT("cuLaunchKernelEx", LAUNCH);
    return launch(&call, device, function, shape, arguments, extra);
}
