/* Libraries, modules, kernels and functions. A library is a module here, and a kernel a function. */
#include "null_driver.h"

#include <stdlib.h>
#include <string.h>

/* ---- libraries and modules, which are the same here ---- */

/* `device` is its number, -1: for any. */
static CUresult load(struct call *call, int device, const void *image, void **handle)
{
    struct library *library = calloc(1, sizeof *library);
    CUresult status = read_library(call, image, library);
    struct object *object = status == SUCCESS ? new_object(LIBRARY_OBJECT, device) : NULL;
    if (status != SUCCESS)
        return status;
    if (object == NULL)
        return OUT_OF_MEMORY;
    object->detail = library;
    for (unsigned i = 0; i < library->n_kernels; i++) {
        struct kernel *kernel = &library->kernels[i];
        kernel->object = new_object(KERNEL_OBJECT, device);
        if (kernel->object == NULL)
            return OUT_OF_MEMORY;
        kernel->object->detail = kernel;
    }
    change(&figures.modules, 1);
    *handle = object;
    return SUCCESS;
}

static CUresult unload(struct call *call, void *handle)
{
    struct object *object;
    CUresult status = check_object(call, handle, LIBRARY_OBJECT, &object);
    if (status != SUCCESS)
        return status;
    struct library *library = object->detail;
    object->alive = false;
    for (unsigned i = 0; i < library->n_kernels; i++)
        library->kernels[i].object->alive = false; /* their names stay, for messages */
    change(&figures.modules, -1);
    return SUCCESS;
}

API CUresult cuLibraryLoadData(void **library, const void *code, void *a, void **b, unsigned n_a, void *c, void **d,
                               unsigned n_b)
{
    (void)a, (void)b, (void)n_a, (void)c, (void)d, (void)n_b; /* options */
    CALL("cuLibraryLoadData", LOAD);
    return load(&call, -1, code, library);
}

API CUresult cuModuleLoadData(void **module, const void *image)
{
    CALL_IN_CONTEXT("cuModuleLoadData", LOAD);
    return load(&call, number_of(device), image, module);
}

API CUresult cuModuleLoadDataEx(void **module, const void *image, unsigned n, int *options, void **values)
{
    (void)n, (void)options, (void)values;
    return cuModuleLoadData(module, image);
}

API CUresult cuLibraryUnload(void *library)
{
    CALL("cuLibraryUnload", FREE);
    return unload(&call, library);
}

API CUresult cuModuleUnload(void *module)
{
    CALL("cuModuleUnload", FREE);
    return unload(&call, module);
}

API CUresult cuLibraryGetModule(void **module, void *library)
{
    CALL("cuLibraryGetModule", LOAD);
    struct object *object;
    CUresult status = check_object(&call, library, LIBRARY_OBJECT, &object);
    *module = library;
    return status;
}

static CUresult get_kernel(struct call *call, void *handle, const char *name, void **kernel)
{
    struct object *object;
    CUresult status = check_object(call, handle, LIBRARY_OBJECT, &object);
    if (status != SUCCESS)
        return status;
    struct library *library = object->detail;
    for (unsigned i = 0; i < library->n_kernels; i++)
        if (strcmp(library->kernels[i].name, name) == 0) {
            *kernel = library->kernels[i].object;
            return SUCCESS;
        }
    return fail(call, NOT_FOUND, "no kernel %s", name);
}

API CUresult cuLibraryGetKernel(void **kernel, void *library, const char *name)
{
    CALL("cuLibraryGetKernel", LOAD);
    return get_kernel(&call, library, name, kernel);
}

API CUresult cuModuleGetFunction(void **function, void *module, const char *name)
{
    CALL_IN_CONTEXT("cuModuleGetFunction", LOAD);
    return get_kernel(&call, module, name, function);
}

API CUresult cuLibraryGetKernelCount(unsigned *count, void *library)
{
    CALL("cuLibraryGetKernelCount", QUERY);
    struct object *object;
    CUresult status = check_object(&call, library, LIBRARY_OBJECT, &object);
    if (status == SUCCESS)
        *count = ((struct library *)object->detail)->n_kernels;
    return status;
}

API CUresult cuLibraryEnumerateKernels(void **kernels, unsigned most, void *library)
{
    CALL("cuLibraryEnumerateKernels", QUERY);
    struct object *object;
    CUresult status = check_object(&call, library, LIBRARY_OBJECT, &object);
    if (status != SUCCESS)
        return status;
    const struct library *found = object->detail;
    for (unsigned i = 0; i < most && i < found->n_kernels; i++)
        kernels[i] = found->kernels[i].object;
    return SUCCESS;
}

/* Variables get their memory when they are asked for; what they are set to in the file is left out. */
static CUresult get_global(struct call *call, struct device *device, CUdeviceptr *address, size_t *size, void *handle,
                           const char *name)
{
    struct object *object;
    CUresult status = check_object(call, handle, LIBRARY_OBJECT, &object);
    if (status != SUCCESS)
        return status;
    struct library *library = object->detail;
    for (size_t i = 0; i < library->n_symbols; i++) {
        const Elf64_Sym *symbol = &library->symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) != STT_OBJECT || strcmp(library->symbol_names + symbol->st_name, name) != 0)
            continue;
        CUdeviceptr *place = &library->globals[i * MOST_DEVICES + (size_t)number_of(device)];
        if (*place == 0)
            status = new_block(call, symbol->st_size, number_of(device), place);
        if (address != NULL)
            *address = *place;
        if (size != NULL)
            *size = symbol->st_size;
        return status;
    }
    return NOT_FOUND; /* the way to ask whether there is one */
}

API CUresult cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *size, void *module, const char *name)
{
    CALL_IN_CONTEXT("cuModuleGetGlobal", LOAD);
    return get_global(&call, device, address, size, module, name);
}

API CUresult cuLibraryGetGlobal(CUdeviceptr *address, size_t *size, void *library, const char *name)
{
    CALL_IN_CONTEXT("cuLibraryGetGlobal", LOAD);
    return get_global(&call, device, address, size, library, name);
}

/* ---- kernels and functions, which are the same here ---- */

#define FIND_KERNEL(text, class)                                           \
    CALL(text, class);                                                     \
    struct object *object;                                                 \
    CUresult status = check_object(&call, handle, KERNEL_OBJECT, &object); \
    if (status != SUCCESS)                                                 \
        return status;                                                     \
    const struct kernel *kernel __attribute__((unused)) = object->detail

API CUresult cuKernelGetFunction(void **function, void *handle)
{
    FIND_KERNEL("cuKernelGetFunction", LOAD);
    *function = handle;
    return SUCCESS;
}

API CUresult cuKernelGetName(const char **name, void *handle)
{
    FIND_KERNEL("cuKernelGetName", QUERY);
    *name = kernel->name;
    return SUCCESS;
}

API CUresult cuFuncGetName(const char **name, void *handle)
{
    FIND_KERNEL("cuFuncGetName", QUERY);
    *name = kernel->name;
    return SUCCESS;
}

static CUresult parameter_info(struct call *call, const struct kernel *kernel, size_t index, size_t *offset,
                               size_t *size)
{
    (void)call;
    if (index >= kernel->n_parameters)
        return INVALID_VALUE; /* the way to find out how many there are */
    *offset = kernel->parameters[index].offset;
    if (size != NULL)
        *size = kernel->parameters[index].size;
    return SUCCESS;
}

API CUresult cuKernelGetParamInfo(void *handle, size_t index, size_t *offset, size_t *size)
{
    FIND_KERNEL("cuKernelGetParamInfo", QUERY);
    return parameter_info(&call, kernel, index, offset, size);
}

API CUresult cuFuncGetParamInfo(void *handle, size_t index, size_t *offset, size_t *size)
{
    FIND_KERNEL("cuFuncGetParamInfo", QUERY);
    return parameter_info(&call, kernel, index, offset, size);
}

API CUresult cuKernelGetParamCount(void *handle, size_t *count)
{
    FIND_KERNEL("cuKernelGetParamCount", QUERY);
    *count = kernel->n_parameters;
    return SUCCESS;
}

API CUresult cuFuncGetParamCount(void *handle, size_t *count)
{
    FIND_KERNEL("cuFuncGetParamCount", QUERY);
    *count = kernel->n_parameters;
    return SUCCESS;
}

static CUresult attribute_of(struct call *call, const struct kernel *kernel, int attribute, int *value)
{
    const unsigned values[] = {kernel->threads, kernel->shared, 0, kernel->stack, kernel->registers};
    if (attribute == 5 || attribute == 6) { /* PTX_VERSION, BINARY_VERSION */
        *value = settings.major * 10 + settings.minor;
        return SUCCESS;
    }
    if (attribute == 8) { /* MAX_DYNAMIC_SHARED_SIZE_BYTES */
        *value = 49152 - (int)kernel->shared;
        return SUCCESS;
    }
    if (attribute < 0 || attribute >= (int)(sizeof values / sizeof *values)) {
        *value = 0;
        return attribute < 0 ? fail(call, INVALID_VALUE, "attribute %d", attribute) : SUCCESS;
    }
    *value = (int)values[attribute];
    return SUCCESS;
}

API CUresult cuKernelGetAttribute(int *value, int attribute, void *handle, CUdevice device)
{
    (void)device;
    FIND_KERNEL("cuKernelGetAttribute", QUERY);
    return attribute_of(&call, kernel, attribute, value);
}

API CUresult cuFuncGetAttribute(int *value, int attribute, void *handle)
{
    FIND_KERNEL("cuFuncGetAttribute", QUERY);
    return attribute_of(&call, kernel, attribute, value);
}

API CUresult cuKernelSetAttribute(int attribute, int value, void *handle, CUdevice device)
{
    (void)attribute, (void)value, (void)device;
    FIND_KERNEL("cuKernelSetAttribute", QUERY);
    return SUCCESS;
}

API CUresult cuFuncSetAttribute(void *handle, int attribute, int value)
{
    (void)attribute, (void)value;
    FIND_KERNEL("cuFuncSetAttribute", QUERY);
    return SUCCESS;
}

API CUresult cuFuncSetCacheConfig(void *handle, int config)
{
    (void)config;
    FIND_KERNEL("cuFuncSetCacheConfig", QUERY);
    return SUCCESS;
}

/* As many blocks as threads, registers and shared memory of a multiprocessor allow. */
API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *handle, int threads, size_t dynamic)
{
    FIND_KERNEL("cuOccupancyMaxActiveBlocksPerMultiprocessor", QUERY);
    unsigned registers = (kernel->registers + 7) / 8 * 8 * (unsigned)threads;
    unsigned limits[] = {2048u / (unsigned)threads, registers > 0 ? 65536u / registers : 32u,
                         (unsigned)(233472u / (kernel->shared + dynamic + 1024u)), 32u};
    unsigned least = limits[0];
    for (size_t i = 1; i < sizeof limits / sizeof *limits; i++)
        least = limits[i] < least ? limits[i] : least;
    *blocks = (int)least;
    return SUCCESS;
}
