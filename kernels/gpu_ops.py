"""The few operations of the CUDA kernels that the CPU has no word for, each with a twin for the simulator.

The twins are plain Python: CUDA's simulator runs kernels as such, and knows neither inline assembly nor libdevice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbnumba.kernels._jit import SIMULATED, cuda_device

#: Added to a float32 below 2^22 and taken away again it rounds to the nearest whole number, which stands in the low bits
#: of the sum meanwhile: the sum's bits less :data:`MAGIC_BITS`.
MAGIC = np.float32(1.5 * 2**23)
MAGIC_BITS = 0x4B400000

if SIMULATED:

    def reciprocal(x):
        """1 / x for a normal float32."""
        return np.float32(1) / x

    def fused(a, b, c):
        """a b + c of float32, rounded once."""
        return np.float32(np.float64(a) * np.float64(b) + np.float64(c))

    def nearest32(x):
        """Nearest whole number of a float32."""
        return np.rint(np.float32(x))

    def clamped(t, base, n):
        """Whole number in the low bits of ``t``, as :data:`MAGIC` leaves it, plus ``base``; ``n`` if not in 0 .. n."""
        i = int(np.float32(t).view(np.int32)) + int(base)
        return i if 0 <= i < n else int(n)

    def clamped_index(i, n):
        """``i`` if in 0 .. n, else ``n``."""
        return int(i) if 0 <= i < n else int(n)

    def place(i, j, m, nj, nm):
        """Number of (i, j, m) in a box of nj by nm entries a plane."""
        return (i * int(nj) + j) * int(nm) + m

    def quotient(a, b):
        """Whole part of a / b, for a >= 0 and b > 0."""
        return int(a) // int(b)

    def remainder(a, b):
        """What :func:`quotient` leaves."""
        return int(a) % int(b)

    def read_only(array, index):
        """``array[index]``, for an array that no kernel writes meanwhile."""
        return array[index]

else:
    from llvmlite import ir
    from numba import float32, int32, types, uint32
    from numba.cuda import libdevice
    from numba.cuda.extending import intrinsic

    @intrinsic
    def reciprocal(typingctx: Any, x: Any) -> Any:
        """1 / x for a normal float32, wrong by one unit in the last place at most."""

        def codegen(context, builder, signature, args):
            one = ir.FunctionType(ir.FloatType(), [ir.FloatType()])
            return builder.call(ir.InlineAsm(one, "rcp.approx.ftz.f32 $0, $1;", "=f,f"), args)

        return types.float32(types.float32), codegen

    @intrinsic
    def read_only(typingctx: Any, array: Any, index: Any) -> Any:
        """``array[index]`` through the read-only cache: a float32 array that no kernel writes meanwhile."""

        def codegen(context, builder, signature, args):
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            wide = ir.IntType(64)
            address = builder.ptrtoint(builder.gep(data, [builder.sext(args[1], wide)]), wide)
            load = ir.FunctionType(ir.FloatType(), [wide])
            return builder.call(ir.InlineAsm(load, "ld.global.nc.f32 $0, [$1];", "=f,l"), [address])

        return types.float32(array, types.int32), codegen

    @cuda_device
    def fused(a, b, c):
        """a b + c of float32, rounded once."""
        return libdevice.fmaf(a, b, c)

    @cuda_device
    def nearest32(x):
        """Nearest whole number of a float32."""
        return libdevice.rintf(float32(x))

    @cuda_device
    def clamped(t, base, n):
        """Whole number in the low bits of ``t``, as :data:`MAGIC` leaves it, plus ``base``; ``n`` if not in 0 .. n.

        A negative number is a large unsigned one: sum and both comparisons are a single instruction on newer devices.
        """
        return min(uint32(libdevice.float_as_int(t) + base), uint32(n))

    @cuda_device
    def clamped_index(i, n):
        """``i`` if in 0 .. n, else ``n``."""
        return min(uint32(i), uint32(n))

    @cuda_device
    def place(i, j, m, nj, nm):
        """Number of (i, j, m) in a box of nj by nm entries a plane."""
        return int32((i * uint32(nj) + j) * uint32(nm) + m)

    @cuda_device
    def quotient(a, b):
        """Whole part of a / b, for a >= 0 and b > 0 below 2^31: unsigned, and so without the cases of Python's."""
        return int32(uint32(a) // uint32(b))

    @cuda_device
    def remainder(a, b):
        """What :func:`quotient` leaves."""
        return int32(uint32(a) % uint32(b))
