"""The CUDA kernels with the types of their arguments, compiled for any architecture without a GPU, by either package."""

from __future__ import annotations

import typing
from contextlib import ExitStack
from importlib import import_module
from typing import Any
from unittest import mock

from nbnumba.kernels.formulas.blocks import MetricBlock

#: name of a row -> kernel, shape, curved, separate, interpolate, split (as ``gpu.find_kernel`` takes them); of spots the part, and
#: per_term last; of derivatives as :data:`DERIVATIVES` says
KERNELS: dict[str, tuple[Any, ...]] = {
    "fast square float32": ("fast32", 0, 0, 0),
    "fast square float32, curved": ("fast32", 0, 1, 0),
    "fast square float32, by source": ("fast32", 0, 0, 1),
    "fast square fixed point": ("fixed", 0, 0, 0),
    "fast square fixed point, curved": ("fixed", 0, 1, 0),
    "fast square fixed point, by source": ("fixed", 0, 0, 1),
    "fast square float64": ("fast64", 0, 0, 0),
    "fast round": ("fast64", 1, 0, 0),
    "fast gauss, tophat": ("fast64", 2, 0, 0),
    "fast square float32, split": ("fast32", 0, 0, 0, 0, 1),
    "fast, end of split sums": ("end", 0, 0, 0),
    "general": ("general", 0, 0, 0, 0),
    "general, interpolating": ("general", 0, 0, 0, 1),
    "spots, find": ("find", 2, 0, 0),
    "spots, place": ("place", 2, 0, 0),
    "spots, fill": ("fill", 2, 0, 0),
    "spots, paint": ("paint", 2, 0, 0),
    "spots, paint, sub-pixels": ("paint all", 2, 0, 0),
    "spots, paint, term by term": ("paint all", 2, 0, 1),
    "spots, close": ("close", 2, 0, 0),
    "derivatives, square": ("sum", 0, 0, 0, 0),
    "derivatives, square, turned domains": ("sum", 0, 0, 0, 1),
    "derivatives, square, curved": ("sum", 0, 1, 0, 0),
    "derivatives, round": ("sum", 1, 0, 0, 0),
    "derivatives, gauss, tophat": ("sum", 2, 0, 0, 0),
    "derivatives, square, interpolating": ("sum", 0, 0, 1, 0),
    "derivatives of spots, one ray": ("slopes", 1, 0),
    "derivatives of spots": ("slopes", 0, 0),
    "derivatives of spots, sort": ("sort", 0),
    "derivatives of spots, end": ("close slopes", 0),
    "derivatives, images": ("chain", 0),
    "derivatives, gradient": ("gradient", 0),
    "derivatives, normal": ("normal", 0),
}
#: Kernels of derivatives; ``sum`` has shape, curved, smooth and spinning as of ``gpu.derivatives.pixel_kernel``,
#: ``slopes`` alone and spinning as of ``gpu.spot_derivatives.slope_kernel``.
DERIVATIVES = ("sum", "slopes", "sort", "close slopes", "chain", "gradient", "normal")
#: Kernels of compact spots (reflection by reflection), which have no loop over terms.
SPOTS = ("find", "place", "fill", "paint", "paint all", "close")
#: Fields of ``gpu.terms.SquareUnits`` that are float64.
DOUBLES = (*MetricBlock._fields, "end", "vector_scale", "direction_scale", "anchor_scale", "last_half")


def _types() -> Any:
    """Module of the argument types of the CUDA package in use."""
    from nbnumba.kernels.jit.cuda import PACKAGE
    from nbnumba.kernels.jit.cuda_choice import MLIR

    return import_module("numba_cuda_mlir.numba_cuda.types" if PACKAGE is MLIR else "numba.core.types")


def _block(cls: Any, whole: Any, real: Any) -> Any:
    """Type of a parameter block."""
    types, kinds = _types(), []
    for name, hint in typing.get_type_hints(cls).items():
        kinds.append(whole if hint is int else types.float64 if name in DOUBLES else real)
    return types.NamedTuple(kinds, cls)


def signature_of(kernel: str, *variant: int) -> tuple[Any, ...]:
    """Types of a kernel's arguments; with ``split``, the fifth of the variant, of one that writes partial sums (``kernels.gpu.close``)."""
    from nbnumba.kernels.formulas import blocks
    from nbnumba.kernels.gpu.terms import SquareUnits

    types = _types()
    rows, mask, word = types.float64[:, ::1], types.uint8[:, ::1], types.int32[::1]
    names = (blocks.PanelBlock, blocks.CrystalBlock, blocks.CellBlock, blocks.BeamBlock)
    panel, crystal, cell, beam = (_block(cls, types.int64, types.float64) for cls in names)
    if kernel in SPOTS:
        return spots_signature(kernel, panel, crystal, cell, beam)
    if kernel in DERIVATIVES:
        return derivatives_signature(kernel, variant, panel, crystal, cell, beam)
    window, split = types.UniTuple(types.int64, 4), len(variant) == 5
    head = (
        types.float64[:, :, ::1] if split else types.float32[:, ::1],
        window,
        panel,
        crystal,
        cell,
        beam,
        rows,
        rows,
    )
    if kernel == "general":
        return (*head, types.float64[:, :, ::1], mask, types.int64[::1], word, word)
    units, partial = _block(SquareUnits, types.int32, types.float32), types.float64[:, :, ::1]
    if kernel == "end":
        return types.float32[:, ::1], window, panel, crystal, beam, rows, mask, partial
    return (*head, types.float32[::1], mask, units, types.int32, word, word)


def spots_signature(kernel: str, panel: Any, crystal: Any, cell: Any, beam: Any) -> tuple[Any, ...]:
    """Types of the arguments of a kernel of :mod:`nbnumba.kernels.gpu.spots`."""
    types = _types()
    whole, real, rows, table = types.int64, types.float64, types.float64[:, ::1], types.float32[::1]
    sums = types.float64[:, :, ::1]
    list_, found, mask = types.int32[::1], types.int32[:, ::1], types.uint8[:, ::1]
    if kernel == "find":
        cone = types.UniTuple(real, 4)
        return found, list_, list_, *[whole] * 4, types.int32, panel, cell, rows, rows, rows, cone, real, table
    if kernel == "place":
        return list_, list_, types.int64[::1], whole, whole
    if kernel == "fill":
        return list_, list_, found, list_, whole, whole, types.int32, types.int32, panel
    if kernel.startswith("paint"):
        metric = _block(MetricBlock, types.int32, real)
        head = (sums, list_, list_, found, whole, panel, crystal, cell, beam, metric)
        return *head, rows, rows, table, mask, whole
    return types.float32[:, :, ::1], sums, panel, beam, rows, mask


def derivatives_signature(
    kernel: str, variant: tuple[int, ...], panel: Any, crystal: Any, cell: Any, beam: Any
) -> tuple[Any, ...]:
    """Types of the arguments of a kernel of :mod:`nbnumba.kernels.gpu.derivatives` or :mod:`nbnumba.kernels.gpu.deliver`."""
    types = _types()
    real, rows, pairs, row = types.float64, types.float64[:, ::1], types.int32[:, ::1], types.float64[::1]
    if kernel == "sum":
        metric = _block(MetricBlock, types.int64, real)
        F = types.float64[:, :, ::1] if variant[2] else row
        return rows, pairs, panel, crystal, cell, beam, metric, rows, rows, F, rows, real, real, types.int64
    list_ = types.int32[::1]
    if kernel == "sort":
        return list_, list_, pairs, types.int64
    if kernel == "slopes":
        metric, whole = _block(MetricBlock, types.int64, real), types.int64
        blocks = (panel, crystal, cell, beam, metric)
        return rows, pairs, list_, list_, pairs, *blocks, rows, rows, row, rows, real, real, whole
    if kernel == "close slopes":
        return rows, pairs, panel, beam, rows, types.int64
    return {"chain": (rows, rows, rows), "gradient": (rows, rows, row), "normal": (rows, rows, row, row, pairs)}[kernel]


def kernel_of(kernel: str, *variant: int) -> tuple[Any, int]:
    """A kernel and the threads of its blocks."""
    from nbnumba.kernels.gpu import close as gpu_close
    from nbnumba.kernels.gpu import deliver, spot_derivatives, spots_lists
    from nbnumba.kernels.gpu import derivatives as gpu_derivatives
    from nbnumba.kernels.gpu import spots as gpu_spots
    from nbnumba.kernels.gpu import table as gpu

    if kernel == "sum":
        return gpu_derivatives.pixel_kernel(*variant), gpu_derivatives.THREADS
    if kernel == "slopes":
        return spot_derivatives.slope_kernel(*variant), gpu_spots.PAINTERS
    if kernel == "sort":
        return gpu_spots.sort_lists, gpu_spots.PAINTERS
    if kernel == "close slopes":
        return spot_derivatives.close_slopes, gpu_derivatives.THREADS
    if kernel in DERIVATIVES:
        made = {"chain": deliver.chain_sums, "gradient": deliver.weigh_sums, "normal": deliver.weigh_values}
        return made[kernel], deliver.THREADS
    if kernel == "end":
        return gpu_close.close_kernel(*variant), gpu_close.THREADS
    if kernel not in SPOTS:
        return gpu.find_kernel(kernel, *variant), gpu.threads_of(kernel)
    alone = {
        "find": (spots_lists.find_spots, spots_lists.FINDERS),
        "place": (spots_lists.place_tiles, spots_lists.PLACERS),
        "fill": (spots_lists.fill_lists, spots_lists.FINDERS),
        "close": (gpu_spots.close_pixels, gpu_spots.PAINTERS),
    }
    if kernel in alone:
        return alone[kernel]
    return gpu_spots.paint_kernel(variant[-1], int(kernel == "paint")), gpu_spots.PAINTERS


def compile_kernel(kernel: str, *variant: int, capability: str, output: str = "ptx") -> Any:
    """A kernel as PTX (str), or as code that is linked at run time (``ltoir``, bytes); needs no driver."""
    from nbnumba.kernels.jit.cuda import PACKAGE, cuda
    from nbnumba.kernels.jit.cuda_choice import MLIR

    compiled, _ = kernel_of(kernel, *variant)
    cc = tuple(int(part) for part in capability.split("."))
    with ExitStack() as patches:
        if PACKAGE is MLIR:
            tools = import_module("numba_cuda_mlir.tools")
            patches.enter_context(mock.patch.object(tools, "_cached_cc", cc))
        else:
            dispatcher = import_module("numba.cuda.dispatcher")
            device = mock.Mock(compute_capability=cc)
            patches.enter_context(mock.patch.object(dispatcher, "get_current_device", lambda: device))
        bounds = compiled.targetoptions["launch_bounds"]
        code, _ = cuda.compile(
            compiled.py_func,
            signature_of(kernel, *variant),
            cc=cc,
            device=False,
            abi="numba",
            launch_bounds=bounds,
            output=output,
        )
    if output == "ptx":
        return str(code).rstrip("\0")  # numba-cuda-mlir ends with one, at which ptxas sometimes fails
    first = code[0] if isinstance(code, list | tuple) else code
    return bytes(getattr(first, "code", first))
