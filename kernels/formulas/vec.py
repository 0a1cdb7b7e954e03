"""Three-vectors as tuples: the few operations that kernels need."""

from __future__ import annotations

import math

from nbnumba.kernels.jit.cpu import device


@device
def dot(a, b):
    """Inner product of two 3-tuples."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@device(forceinline=True)
def difference(a, b):
    """A 3-tuple less another."""
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


@device(forceinline=True)
def row_vector(rows, i, first):
    """Three numbers of row ``i`` of a table, from column ``first`` on."""
    return (rows[i, first], rows[i, first + 1], rows[i, first + 2])


@device
def cross(a, b):
    """Vector product of two 3-tuples."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


@device
def scaled(a, factor):
    """A 3-tuple times a number."""
    return (a[0] * factor, a[1] * factor, a[2] * factor)


@device
def norm(a):
    """Length of a 3-tuple."""
    return math.sqrt(dot(a, a))


@device
def unit(a):
    """Direction of a 3-tuple; the zero vector stays zero."""
    length = norm(a)
    return scaled(a, 1.0 / length) if length != 0.0 else (0.0, 0.0, 0.0)


@device
def rotate_axis(v, axis, angle):
    """Rotate ``v`` about the unit vector ``axis``, right-handed, by ``angle`` (rad): Rodrigues' formula."""
    s, c = math.sin(angle), math.cos(angle)
    along = dot(axis, v) * (1.0 - c)
    x, y, z = cross(axis, v)
    return (
        v[0] * c + x * s + axis[0] * along,
        v[1] * c + y * s + axis[1] * along,
        v[2] * c + z * s + axis[2] * along,
    )
