"""Likelihood of shoeboxes, each with a plane of background of its own, and its normal equations.

Problem: a refinement has some ten parameters of the experiment, and three more for the background of each of thousands of
shoeboxes; the normal equations of all of them together would be a matrix of millions of rows.

Choice: a plane has to do with the pixels of its own box only. So for each model of the spots the best planes are found box by
box, by Fisher's scoring, and the equations of the other parameters are corrected for what planes take up (Schur's
complement). What is left is the likelihood as a function of the experiment alone.

Totals are added up by groups of boxes, in their order: the number of threads changes no bit. Cost: rounds of scoring times the
pixels, and the square of the number of parameters times the pixels.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from nbnumba.kernels.formulas.likelihood import photon_terms
from nbnumba.kernels.jit.cpu import device, kernel

#: boxes whose totals are added up together
GROUP = 16
#: most rounds of scoring for a plane, and the gain in likelihood below which it has ended
ROUNDS, ENOUGH = 30, 1e-9
#: what stabilizes planes of boxes with too few pixels, relative to the diagonal
RIDGE = 1e-9


@device(forceinline=True)
def background_at(plane, places, i):
    """Background of pixel ``i``; ``plane``: level, and slopes along the two ``places``."""
    return plane[0] + plane[1] * places[i, 0] + plane[2] * places[i, 1]


@device
def solve_plane(matrix, right, out):
    """Solve a symmetric positive 3 x 3 system by Cholesky's method; returns whether it could be solved."""
    a = matrix[0, 0] * (1.0 + RIDGE)
    if not a > 0.0:
        return False
    d, e = matrix[1, 0] / a, matrix[2, 0] / a
    b = matrix[1, 1] * (1.0 + RIDGE) - d * matrix[1, 0]
    if not b > RIDGE * matrix[1, 1]:
        out[0], out[1], out[2] = right[0] / a, 0.0, 0.0
        return True
    rest = matrix[2, 1] - d * matrix[2, 0]
    f = rest / b
    c = matrix[2, 2] * (1.0 + RIDGE) - e * matrix[2, 0] - f * rest
    y0, y1 = right[0], right[1] - d * right[0]
    y2 = right[2] - e * y0 - f * y1
    z = y2 / c if c > RIDGE * matrix[2, 2] else 0.0
    y = y1 / b - f * z
    out[0], out[1], out[2] = y0 / a - d * y - e * z, y, z
    return True


@device
def plane_sums(matrix, right, plane, first, end, pixels, kind):
    """Fill the scoring equations of a plane; returns minus the log likelihood of the box."""
    data, values, order, places, noise = pixels
    matrix[:], right[:] = 0.0, 0.0
    total = 0.0
    for i in range(first, end):
        model = values[order[i], 0] + background_at(plane, places, i)
        value, slope, weight = photon_terms(kind, data[i], model, noise[i])
        total += value
        x, y = places[i, 0], places[i, 1]
        right[0] += slope
        right[1] += slope * x
        right[2] += slope * y
        matrix[0, 0] += weight
        matrix[1, 0] += weight * x
        matrix[2, 0] += weight * y
        matrix[1, 1] += weight * x * x
        matrix[2, 1] += weight * x * y
        matrix[2, 2] += weight * y * y
    return total


@device
def fit_plane(plane, first, end, pixels, kind, work):
    """Score a plane from its present values on until the likelihood gains no more; a step that loses is halved."""
    matrix, right, step = work
    before = plane_sums(matrix, right, plane, first, end, pixels, kind)
    for _ in range(ROUNDS):
        if not solve_plane(matrix, right, step):
            return
        gain = step[0] * right[0] + step[1] * right[1] + step[2] * right[2]
        if gain < ENOUGH:
            return
        for _half in range(8):
            for axis in range(3):
                plane[axis] += step[axis]
            value = plane_sums(matrix, right, plane, first, end, pixels, kind)
            if value <= before:
                break
            for axis in range(3):
                plane[axis] -= step[axis]
                step[axis] *= 0.5
        if not value <= before:
            plane_sums(matrix, right, plane, first, end, pixels, kind)
            return
        before = value


@device
def add_box(total, mixed, plane, first, end, pixels, kind):
    """Add the equations of a box to ``total``: value, right side, and rows of the matrix up to the diagonal.

    ``mixed`` (3, parameters): set to the products of the plane's derivatives with the others.
    """
    data, values, order, places, noise = pixels
    n = values.shape[1] - 1
    mixed[:] = 0.0
    for i in range(first, end):
        row = order[i]
        model = values[row, 0] + background_at(plane, places, i)
        value, slope, weight = photon_terms(kind, data[i], model, noise[i])
        total[0] += value
        at = 1 + n
        for j in range(n):
            total[1 + j] += slope * values[row, 1 + j]
            part = weight * values[row, 1 + j]
            mixed[0, j] += part
            mixed[1, j] += part * places[i, 0]
            mixed[2, j] += part * places[i, 1]
            for k in range(j + 1):
                total[at + k] += part * values[row, 1 + k]
            at += j + 1


@device
def take_plane(total, mixed, work, column):
    """Take from ``total`` what the plane takes up; ``work``: its equations at the end; ``column``: scratch (3,)."""
    matrix, right, step = work
    n, at = mixed.shape[1], 1 + mixed.shape[1]
    for j in range(n):
        column[0], column[1], column[2] = mixed[0, j], mixed[1, j], mixed[2, j]
        if not solve_plane(matrix, column, step):
            return
        total[1 + j] -= step[0] * right[0] + step[1] * right[1] + step[2] * right[2]
        for k in range(j + 1):
            total[at + k] -= step[0] * mixed[0, k] + step[1] * mixed[1, k] + step[2] * mixed[2, k]
        at += j + 1


@kernel()
def sum_boxes(totals, planes, starts, pixels, kind, fits):
    """Likelihood of all boxes and its normal equations, planes apart.

    Parameters
    ----------
    totals : (groups, 1 + n + n (n + 1) / 2) float64
        Set to minus the log likelihood, the negative gradient, and the lower triangle of the information about the parameters,
        row by row, for every :data:`GROUP` boxes.
    planes : (boxes, 3) float64
        Background; with ``fits`` the start, and the best one on return.
    starts : (boxes + 1,) int64
        First pixel of each box.
    pixels : tuple of arrays
        Photons measured (n,), box by box; photons expected in spots and their derivatives, (n, 1 + parameters), in another
        order; in which row of those each pixel is (n,); places (n, 2) within the box; squared readout noise (n,).
    kind : int
        Of :mod:`nbnumba.kernels.formulas.likelihood`.
    fits : int
        Whether planes are fitted.
    """
    n = pixels[1].shape[1] - 1
    for group in prange(totals.shape[0]):
        total = totals[group]
        total[:] = 0.0
        work, mixed, column = (np.zeros((3, 3)), np.zeros(3), np.zeros(3)), np.zeros((3, n)), np.zeros(3)
        for box in range(group * GROUP, min((group + 1) * GROUP, starts.shape[0] - 1)):
            first, end = starts[box], starts[box + 1]
            if fits:
                fit_plane(planes[box], first, end, pixels, kind, work)
            add_box(total, mixed, planes[box], first, end, pixels, kind)
            if fits:
                take_plane(total, mixed, work, column)


@kernel()
def score_pixels(terms, data, model, noise, kind):
    """Terms of the likelihood of pixels, for equations that are made elsewhere.

    Parameters
    ----------
    terms : (n, 3) float64
        Set to what :func:`nbnumba.kernels.formulas.likelihood.photon_terms` gives of each pixel.
    data, model, noise : (n,) float64
    kind : int
    """
    for i in prange(terms.shape[0]):
        terms[i, 0], terms[i, 1], terms[i, 2] = photon_terms(kind, data[i], model[i], noise[i])
