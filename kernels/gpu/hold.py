"""A CUDA kernel that takes a chosen time, so that work can be queued behind it before the device reaches that work."""

from __future__ import annotations

from nbnumba.kernels.jit.cuda import cuda_kernel


@cuda_kernel(threads=1, blocks=1)
def hold(numbers, turns):
    """Multiply and add ``turns`` times, each waiting for the one before: some four clock cycles a turn.

    Parameters
    ----------
    numbers : (3,) float32
        Start, factor and summand; the first is replaced by the result, so that the loop cannot be left out.
    turns : int
    """
    x = numbers[0]
    for _ in range(turns):
        x = x * numbers[1] + numbers[2]
    numbers[0] = x
