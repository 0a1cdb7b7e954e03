"""Where a ray is in reciprocal space: the scattering vector, and its fractional indices in an orientation of the cell."""

from __future__ import annotations

from nbnumba.kernels.formulas.vec import dot, row_vector
from nbnumba.kernels.jit.cpu import STRICT, device


@device(fastmath=STRICT, forceinline=True)
def scattering_vector(diffracted, incident, inverse):
    """(d - s) / lambda in 1/m, for unit vectors d and s; ``inverse``: 1 / lambda."""
    return (
        (diffracted[0] - incident[0]) * inverse,
        (diffracted[1] - incident[1]) * inverse,
        (diffracted[2] - incident[2]) * inverse,
    )


@device(forceinline=True)
def cell_axes(orientations, m):
    """a, b and c of orientation ``m``, as the table (M, 9) holds them."""
    return row_vector(orientations, m, 0), row_vector(orientations, m, 3), row_vector(orientations, m, 6)


@device(forceinline=True)
def fractional_indices(axes, q):
    """h, k, l of a scattering vector: its products with a, b and c."""
    return dot(axes[0], q), dot(axes[1], q), dot(axes[2], q)
