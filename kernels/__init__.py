"""Explicit Numba kernels and the scalar physics that they share."""
