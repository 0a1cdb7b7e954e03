"""What is wanted of the sums of a piece of the pixels, on CUDA: values, or totals.

Totals are added up by groups of pixels, each number by one thread or by one block in a fixed order: no bit depends on the
device or on the size of a piece, as long as that is whole groups. The host adds up the groups.
"""

from __future__ import annotations

from nbnumba.kernels.formulas.sums import SUMS
from nbnumba.kernels.jit.cuda import cuda, cuda_kernel, float64

#: Threads of a block: a power of two.
THREADS = 128
#: Pixels whose totals are added up together.
GROUP = 1024


@cuda_kernel(threads=THREADS, blocks=4)
def chain_sums(values, sums, chain):
    """Image and derivatives of a pixel for each thread: ``values`` (n, rows), of ``sums`` (SUMS, n or more) and ``chain`` (rows, SUMS)."""
    number = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
    if number >= values.shape[0]:
        return
    for row in range(chain.shape[0]):
        total = 0.0
        for column in range(SUMS):
            if chain[row, column] != 0.0:
                total += chain[row, column] * sums[column, number]
        values[number, row] = total


@cuda_kernel(threads=THREADS, blocks=4)
def weigh_sums(totals, sums, weights):
    """Weighted totals of the sums: ``totals`` (groups, SUMS), of ``sums`` (SUMS, n or more) and ``weights`` (n,).

    A block for each group, along x, and each sum, along y.
    """
    parts = cuda.shared.array(THREADS, float64)
    tid, group, row = cuda.threadIdx.x, cuda.blockIdx.x, cuda.blockIdx.y
    total = 0.0
    for number in range(group * GROUP + tid, min((group + 1) * GROUP, weights.shape[0]), THREADS):
        total += weights[number] * sums[row, number]
    parts[tid] = total
    cuda.syncthreads()
    half = THREADS >> 1
    while half > 0:
        if tid < half:
            parts[tid] += parts[tid + half]
        cuda.syncthreads()
        half >>= 1
    if tid == 0:
        totals[group, row] = parts[0]


@cuda_kernel(threads=THREADS, blocks=4)
def weigh_values(totals, values, weights, rights, entries):
    """Normal equations: a thread for each number of a group; groups along x.

    Parameters
    ----------
    totals : (groups, m) float64
    values : (n, rows) float64
        Of :func:`chain_sums`.
    weights, rights : (n,) float64
    entries : (m, 2) int32
        For each number the two rows that are multiplied, and weighted by ``weights``; a second one of 0: the first row
        weighted by ``rights``.
    """
    entry = cuda.blockIdx.y * THREADS + cuda.threadIdx.x
    if entry >= entries.shape[0]:
        return
    k, j, group, total = entries[entry, 0], entries[entry, 1], cuda.blockIdx.x, 0.0
    for number in range(group * GROUP, min((group + 1) * GROUP, weights.shape[0])):
        weight = rights[number] if j == 0 else weights[number] * values[number, j]
        total += weight * values[number, k]
    totals[group, entry] = total
