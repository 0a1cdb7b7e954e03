/* The driver's functions by name, and the names of its errors.
 *
 * Packages ask for every function with the version of the API that they were written for. A driver that is older than a
 * function does not have it: the versions are those of cudaTypedefs.h.
 */
#include "null_driver.h"

#include <string.h>

/* Only their addresses are taken here. */
typedef CUresult procedure();
extern API procedure cuCtxGetCurrent, cuCtxGetDevice, cuCtxGetDevice_v2, cuCtxGetFlags, cuCtxGetId,
    cuCtxGetStreamPriorityRange, cuCtxPopCurrent_v2, cuCtxPushCurrent_v2, cuCtxSetCurrent, cuCtxSynchronize,
    cuDeviceCanAccessPeer, cuDeviceGet, cuDeviceGetAttribute, cuDeviceGetCount, cuDeviceGetName, cuDeviceGetUuid_v2,
    cuDevicePrimaryCtxGetState, cuDevicePrimaryCtxRelease_v2, cuDevicePrimaryCtxReset_v2, cuDevicePrimaryCtxRetain,
    cuDeviceTotalMem_v2, cuDriverGetVersion, cuEventCreate, cuEventDestroy_v2, cuEventElapsedTime, cuEventQuery,
    cuEventRecord, cuEventSynchronize, cuFuncGetAttribute, cuFuncGetName, cuFuncGetParamCount, cuFuncGetParamInfo,
    cuFuncSetAttribute, cuFuncSetCacheConfig, cuInit, cuKernelGetAttribute, cuKernelGetFunction, cuKernelGetName,
    cuKernelGetParamCount, cuKernelGetParamInfo, cuKernelSetAttribute, cuLaunchKernel, cuLaunchKernelEx,
    cuLibraryEnumerateKernels, cuLibraryGetGlobal, cuLibraryGetKernel, cuLibraryGetKernelCount, cuLibraryGetModule,
    cuLibraryLoadData, cuLibraryUnload, cuMemAlloc_v2, cuMemAllocHost_v2, cuMemFree_v2, cuMemFreeHost,
    cuMemGetAddressRange_v2, cuMemGetInfo_v2, cuMemHostAlloc, cuMemHostGetDevicePointer_v2, cuMemHostGetFlags,
    cuMemHostRegister_v2, cuMemHostUnregister, cuMemcpyDtoD_v2, cuMemcpyDtoDAsync_v2, cuMemcpyDtoH_v2,
    cuMemcpyDtoHAsync_v2, cuMemcpyHtoD_v2, cuMemcpyHtoDAsync_v2, cuMemsetD16_v2, cuMemsetD16Async, cuMemsetD32_v2,
    cuMemsetD32Async, cuMemsetD8_v2, cuMemsetD8Async, cuModuleGetFunction, cuModuleGetGlobal_v2, cuModuleLoadData,
    cuModuleLoadDataEx, cuModuleUnload, cuOccupancyMaxActiveBlocksPerMultiprocessor, cuPointerGetAttribute,
    cuStreamCreate, cuStreamCreateWithPriority, cuStreamDestroy_v2, cuStreamGetCtx, cuStreamGetCtx_v2,
    cuStreamGetDevice, cuStreamGetFlags, cuStreamGetPriority, cuStreamIsCapturing, cuStreamQuery, cuStreamSynchronize,
    cuStreamWaitEvent;

API CUresult cuGetErrorName(CUresult code, const char **name);
API CUresult cuGetErrorString(CUresult code, const char **text);
API CUresult cuGetExportTable(const void **table, const void *identity);
API CUresult cuGetProcAddress(const char *name, void **found, int version, uint64_t flags);
API CUresult cuGetProcAddress_v2(const char *name, void **found, int version, uint64_t flags, int *status);

#define P(name, since, function) {name, since, (void *)function}
static const struct {
    const char *name;
    int since;
    void *function;
} PROCEDURES[] = {
    P("cuCtxGetCurrent", 4000, cuCtxGetCurrent),
    P("cuCtxGetDevice", 2000, cuCtxGetDevice),
    P("cuCtxGetDevice", 13000, cuCtxGetDevice_v2),
    P("cuCtxGetFlags", 7000, cuCtxGetFlags),
    P("cuCtxGetId", 12000, cuCtxGetId),
    P("cuCtxGetStreamPriorityRange", 5050, cuCtxGetStreamPriorityRange),
    P("cuCtxPopCurrent", 4000, cuCtxPopCurrent_v2),
    P("cuCtxPushCurrent", 4000, cuCtxPushCurrent_v2),
    P("cuCtxSetCurrent", 4000, cuCtxSetCurrent),
    P("cuCtxSynchronize", 2000, cuCtxSynchronize),
    P("cuDeviceCanAccessPeer", 4000, cuDeviceCanAccessPeer),
    P("cuDeviceGet", 2000, cuDeviceGet),
    P("cuDeviceGetAttribute", 2000, cuDeviceGetAttribute),
    P("cuDeviceGetCount", 2000, cuDeviceGetCount),
    P("cuDeviceGetName", 2000, cuDeviceGetName),
    P("cuDeviceGetUuid", 9020, cuDeviceGetUuid_v2),
    P("cuDeviceGetUuid", 11040, cuDeviceGetUuid_v2),
    P("cuDevicePrimaryCtxGetState", 7000, cuDevicePrimaryCtxGetState),
    P("cuDevicePrimaryCtxRelease", 7000, cuDevicePrimaryCtxRelease_v2),
    P("cuDevicePrimaryCtxRelease", 11000, cuDevicePrimaryCtxRelease_v2),
    P("cuDevicePrimaryCtxReset", 7000, cuDevicePrimaryCtxReset_v2),
    P("cuDevicePrimaryCtxReset", 11000, cuDevicePrimaryCtxReset_v2),
    P("cuDevicePrimaryCtxRetain", 7000, cuDevicePrimaryCtxRetain),
    P("cuDeviceTotalMem", 3020, cuDeviceTotalMem_v2),
    P("cuDriverGetVersion", 2020, cuDriverGetVersion),
    P("cuEventCreate", 2000, cuEventCreate),
    P("cuEventDestroy", 4000, cuEventDestroy_v2),
    P("cuEventElapsedTime", 2000, cuEventElapsedTime),
    P("cuEventElapsedTime", 12080, cuEventElapsedTime),
    P("cuEventQuery", 2000, cuEventQuery),
    P("cuEventRecord", 2000, cuEventRecord),
    P("cuEventSynchronize", 2000, cuEventSynchronize),
    P("cuFuncGetAttribute", 2020, cuFuncGetAttribute),
    P("cuFuncGetName", 12030, cuFuncGetName),
    P("cuFuncGetParamCount", 13020, cuFuncGetParamCount),
    P("cuFuncGetParamInfo", 12040, cuFuncGetParamInfo),
    P("cuFuncSetAttribute", 9000, cuFuncSetAttribute),
    P("cuFuncSetCacheConfig", 3000, cuFuncSetCacheConfig),
    P("cuGetErrorName", 6000, cuGetErrorName),
    P("cuGetErrorString", 6000, cuGetErrorString),
    P("cuGetExportTable", 3000, cuGetExportTable),
    P("cuGetProcAddress", 11030, cuGetProcAddress),
    P("cuGetProcAddress", 12000, cuGetProcAddress_v2),
    P("cuInit", 2000, cuInit),
    P("cuKernelGetAttribute", 12000, cuKernelGetAttribute),
    P("cuKernelGetFunction", 12000, cuKernelGetFunction),
    P("cuKernelGetName", 12030, cuKernelGetName),
    P("cuKernelGetParamCount", 13020, cuKernelGetParamCount),
    P("cuKernelGetParamInfo", 12040, cuKernelGetParamInfo),
    P("cuKernelSetAttribute", 12000, cuKernelSetAttribute),
    P("cuLaunchKernel", 4000, cuLaunchKernel),
    P("cuLaunchKernelEx", 11060, cuLaunchKernelEx),
    P("cuLibraryEnumerateKernels", 12040, cuLibraryEnumerateKernels),
    P("cuLibraryGetGlobal", 12000, cuLibraryGetGlobal),
    P("cuLibraryGetKernel", 12000, cuLibraryGetKernel),
    P("cuLibraryGetKernelCount", 12040, cuLibraryGetKernelCount),
    P("cuLibraryGetModule", 12000, cuLibraryGetModule),
    P("cuLibraryLoadData", 12000, cuLibraryLoadData),
    P("cuLibraryUnload", 12000, cuLibraryUnload),
    P("cuMemAlloc", 3020, cuMemAlloc_v2),
    P("cuMemAllocHost", 3020, cuMemAllocHost_v2),
    P("cuMemFree", 3020, cuMemFree_v2),
    P("cuMemFreeHost", 2000, cuMemFreeHost),
    P("cuMemGetAddressRange", 3020, cuMemGetAddressRange_v2),
    P("cuMemGetInfo", 3020, cuMemGetInfo_v2),
    P("cuMemHostAlloc", 2020, cuMemHostAlloc),
    P("cuMemHostGetDevicePointer", 3020, cuMemHostGetDevicePointer_v2),
    P("cuMemHostGetFlags", 2030, cuMemHostGetFlags),
    P("cuMemHostRegister", 4000, cuMemHostRegister_v2),
    P("cuMemHostRegister", 6050, cuMemHostRegister_v2),
    P("cuMemHostUnregister", 4000, cuMemHostUnregister),
    P("cuMemcpyDtoD", 3020, cuMemcpyDtoD_v2),
    P("cuMemcpyDtoDAsync", 3020, cuMemcpyDtoDAsync_v2),
    P("cuMemcpyDtoH", 3020, cuMemcpyDtoH_v2),
    P("cuMemcpyDtoHAsync", 3020, cuMemcpyDtoHAsync_v2),
    P("cuMemcpyHtoD", 3020, cuMemcpyHtoD_v2),
    P("cuMemcpyHtoDAsync", 3020, cuMemcpyHtoDAsync_v2),
    P("cuMemsetD16", 3020, cuMemsetD16_v2),
    P("cuMemsetD16Async", 3020, cuMemsetD16Async),
    P("cuMemsetD32", 3020, cuMemsetD32_v2),
    P("cuMemsetD32Async", 3020, cuMemsetD32Async),
    P("cuMemsetD8", 3020, cuMemsetD8_v2),
    P("cuMemsetD8Async", 3020, cuMemsetD8Async),
    P("cuModuleGetFunction", 2000, cuModuleGetFunction),
    P("cuModuleGetGlobal", 3020, cuModuleGetGlobal_v2),
    P("cuModuleLoadData", 2000, cuModuleLoadData),
    P("cuModuleLoadDataEx", 2010, cuModuleLoadDataEx),
    P("cuModuleUnload", 2000, cuModuleUnload),
    P("cuOccupancyMaxActiveBlocksPerMultiprocessor", 6050, cuOccupancyMaxActiveBlocksPerMultiprocessor),
    P("cuPointerGetAttribute", 4000, cuPointerGetAttribute),
    P("cuStreamCreate", 2000, cuStreamCreate),
    P("cuStreamCreateWithPriority", 5050, cuStreamCreateWithPriority),
    P("cuStreamDestroy", 4000, cuStreamDestroy_v2),
    P("cuStreamGetCtx", 9020, cuStreamGetCtx),
    P("cuStreamGetCtx", 12050, cuStreamGetCtx_v2),
    P("cuStreamGetDevice", 12080, cuStreamGetDevice),
    P("cuStreamGetFlags", 5050, cuStreamGetFlags),
    P("cuStreamGetPriority", 5050, cuStreamGetPriority),
    P("cuStreamIsCapturing", 10000, cuStreamIsCapturing),
    P("cuStreamQuery", 2000, cuStreamQuery),
    P("cuStreamSynchronize", 2000, cuStreamSynchronize),
    P("cuStreamWaitEvent", 3020, cuStreamWaitEvent),
};

enum { FOUND, NO_SYMBOL }; /* CUdriverProcAddressQueryResult */

/* The newest edition of a function that both the caller and this driver know. A caller that names a version from before
 * the function was there gets its oldest one: numba-cuda-mlir asks for cuFuncGetAttribute (2.2) as of 2.0. */
API CUresult cuGetProcAddress_v2(const char *name, void **found, int version, uint64_t flags, int *status)
{
    (void)flags; /* whether the default stream is one for each thread */
    *found = NULL;
    for (size_t i = 0; i < sizeof PROCEDURES / sizeof *PROCEDURES; i++) {
        int since = PROCEDURES[i].since; /* editions stand in order */
        if (strcmp(PROCEDURES[i].name, name) == 0 && since <= settings.version && (since <= version || *found == NULL))
            *found = PROCEDURES[i].function;
    }
    if (status != NULL)
        *status = *found != NULL ? FOUND : NO_SYMBOL;
    return *found != NULL ? SUCCESS : NOT_FOUND;
}

API CUresult cuGetProcAddress(const char *name, void **found, int version, uint64_t flags)
{
    return cuGetProcAddress_v2(name, found, version, flags, NULL);
}

API CUresult cuGetExportTable(const void **table, const void *identity)
{
    (void)identity; /* private interfaces of NVIDIA's tools */
    *table = NULL;
    return NOT_SUPPORTED;
}

static const struct {
    CUresult code;
    const char *name, *text;
} ERRORS[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {HOST_MEMORY_NOT_REGISTERED, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED",
     "pointer does not correspond to a registered memory region"},
    {MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
};

static size_t find_error(CUresult code)
{
    size_t i = 0, n = sizeof ERRORS / sizeof *ERRORS;
    while (i < n && ERRORS[i].code != code)
        i++;
    return i < n ? i : 1;
}

API CUresult cuGetErrorName(CUresult code, const char **name)
{
    *name = ERRORS[find_error(code)].name;
    return SUCCESS;
}

API CUresult cuGetErrorString(CUresult code, const char **text)
{
    *text = ERRORS[find_error(code)].text;
    return SUCCESS;
}
