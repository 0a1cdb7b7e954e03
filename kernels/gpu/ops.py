"""Operations of the CUDA kernels that the CPU does not have, each with a version for the simulator.

These versions are plain Python: the CUDA simulator runs kernels as Python, and has no libdevice. Unsigned numbers are compared
by a conditional: ``min`` of numba-cuda-mlir 0.6 takes them for signed ones.
"""

from __future__ import annotations

import numpy as np

from nbnumba.kernels.jit.cuda import SIMULATED, cuda_device, float32, int32, int64, libdevice, read_anew, uint32

#: Added to a float32 below 2^22 and taken away again it rounds to the nearest whole number, which stands in the low bits
#: of the sum meanwhile: the sum's bits less :data:`MAGIC_BITS`.
MAGIC = np.float32(1.5 * 2**23)
MAGIC_BITS = 0x4B400000
#: The same for a float64 below 2^31: the whole number is the lower half of the sum's bits.
MAGIC64 = 1.5 * 2.0**52

#: One block in this many reports its end.
TOLD = 8


@cuda_device
def is_stopped(halt):
    """Whether the host has set the stop flag: 0 or 1.

    ``halt``: (1,) int32 in memory of the device, or (0,): no flag. Reads from memory of the host would take 0.6 us each on an
    H200, one block after another.
    """
    if halt.shape[0] == 0:
        return int32(0)
    return int32(1) if read_anew(halt, int32(0)) != 0 else int32(0)


@cuda_device
def tell_progress(done, number):
    """Report to the host that the block with this number is finished; blocks start about in the order of their numbers.

    ``done``: (1,) int32 in host memory that the device can access, to which a block writes without waiting; or (0,).
    """
    if done.shape[0] != 0 and number % TOLD == 0:
        done[0] = number


if SIMULATED:

    def fused(a, b, c):
        """a b + c of float32, rounded once."""
        return np.float32(np.float64(a) * np.float64(b) + np.float64(c))

    def nearest32(x):
        """Nearest whole number of a float32."""
        return np.rint(np.float32(x))

    def lower_word(x):
        """Lower half of an int64, as a signed number."""
        return np.int64(x).astype(np.int32)

    def upper_word(x):
        """Upper half of an int64."""
        return np.int32(int(x) >> 32)

    def joined(high, low):
        """An int64 of its halves."""
        return np.int64(int(high) << 32 | int(low) & 0xFFFFFFFF)

    def rounded64(t):
        """Whole number in the low bits of a float64, as :data:`MAGIC64` leaves it."""
        return int(lower_word(np.float64(t).view(np.int64)))

    def small_float(i):
        """A whole number below 2^22 as float32, by no conversion."""
        return np.float32(i)

    def clamped(t, base, n):
        """Whole number in the low bits of ``t``, as :data:`MAGIC` leaves it, plus ``base``; ``n`` if not in 0 .. n."""
        i = int(np.float32(t).view(np.int32)) + int(base)
        return i if 0 <= i < n else int(n)

    def clamped_index(i, n):
        """``i`` if in 0 .. n, else ``n``."""
        return int(i) if 0 <= i < n else int(n)

    def entry_of(i, j, m, nj, nm):
        """Number of (i, j, m) in a box of nj by nm entries a plane."""
        return (i * int(nj) + j) * int(nm) + m

    def quotient(a, b):
        """Whole part of a / b, for a >= 0 and b > 0."""
        return int(a) // int(b)

    def remainder(a, b):
        """What :func:`quotient` leaves."""
        return int(a) % int(b)

else:

    @cuda_device
    def fused(a, b, c):
        """a b + c of float32, rounded once."""
        return libdevice.fmaf(a, b, c)

    @cuda_device
    def nearest32(x):
        """Nearest whole number of a float32."""
        return libdevice.rintf(float32(x))

    @cuda_device
    def lower_word(x):
        """Lower half of an int64, as a signed number."""
        return int32(x)

    @cuda_device
    def upper_word(x):
        """Upper half of an int64."""
        return int32(x >> 32)

    @cuda_device
    def joined(high, low):
        """An int64 of its halves."""
        return int64(high) << 32 | int64(low) & 0xFFFFFFFF

    @cuda_device
    def rounded64(t):
        """Whole number in the low bits of a float64, as :data:`MAGIC64` leaves it."""
        return libdevice.double2loint(t)

    @cuda_device
    def small_float(i):
        """A whole number below 2^22 as float32, by no conversion."""
        return libdevice.int_as_float(int32(i + MAGIC_BITS)) - MAGIC

    @cuda_device
    def clamped(t, base, n):
        """Whole number in the low bits of ``t``, as :data:`MAGIC` leaves it, plus ``base``; ``n`` if not in 0 .. n.

        A negative number is a large unsigned one: sum and both comparisons are a single instruction on newer devices.
        """
        i, end = uint32(libdevice.float_as_int(t) + base), uint32(n)
        return i if i < end else end

    @cuda_device
    def clamped_index(i, n):
        """``i`` if in 0 .. n, else ``n``."""
        whole, end = uint32(i), uint32(n)
        return whole if whole < end else end

    @cuda_device
    def entry_of(i, j, m, nj, nm):
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
