"""Compiled scalar functions, for tests that call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def from_python(function: Any) -> Callable[..., Any]:
    """A function of ``nbnumba.kernels`` that is compiled for kernels only, as Python can call it."""

    @njit
    def call(*arguments):
        return function(*arguments)

    return call
