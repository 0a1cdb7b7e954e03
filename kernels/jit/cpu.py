"""The only place that names jit options for the CPU; compiled kernels are kept by :mod:`nbnumba.kernels.jit.cache`.

Misuse: a function decorated with ``numba.njit(cache=True)`` elsewhere would fall into the traps described there; use the
decorators below, or those of :mod:`nbnumba.kernels.jit.cuda`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from types import FunctionType
from typing import Any, TypeVar

from numba import njit, threading_layer

from nbnumba.kernels.jit.cache import CACHE_DIR, is_cold, keep_cpu_kernel
from nbnumba.kernels.jit.compiler import postpone_scipy, tell_compiling
from nbnumba.kernels.jit.numba_private import find_events, inline_options, wrapper_options

__all__ = [
    "CACHE_DIR",
    "FASTMATH",
    "ORDERED",
    "STRICT",
    "device",
    "is_cold",
    "kernel",
    "plain",
]

F = TypeVar("F", bound=Callable[..., Any])

#: Relaxations that let LLVM vectorize sums; NaN and infinity keep their meaning.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}
#: The same without changes of the order in which terms are added: where float32 must cancel exactly.
ORDERED = {"contract", "nsz", "arcp"}
#: For results that must not depend on how the compiler groups a sum (the reference's order, exact noise).
STRICT: set[str] = set()


postpone_scipy()
if (_events := find_events()) is not None:
    tell_compiling(_events)
#: Without the wrapper for calls from Python, which takes a fifth of the time to compile a function.
_NO_WRAPPERS = wrapper_options()


def device(
    function: F | None = None, *, fastmath: set[str] = FASTMATH, inline: str = "never", forceinline: bool = False
) -> Any:
    """Compile scalar physics that CPU and CUDA kernels both call.

    ``forceinline`` has LLVM put the function into its callers: a call copies each parameter block, field by field.

    Python can only call it through :func:`plain`, as the wrapper for calls from Python is omitted.
    """

    def wrap(f: F) -> Any:
        options = inline_options(forceinline) | _NO_WRAPPERS
        compiled = njit(fastmath=fastmath, error_model="numpy", inline=inline, **options)(f)  # type: ignore[call-overload]
        if _NO_WRAPPERS and hasattr(compiled, "add_overload"):  # not so where NUMBA_DISABLE_JIT is set
            _keep_from_python(compiled)
        return compiled

    return wrap if function is None else wrap(function)


def _keep_from_python(dispatcher: Any) -> None:
    """Make calls from Python raise TypeError; Numba would jump to an invalid address."""

    def add_overload(result: Any) -> None:
        dispatcher.overloads[tuple(result.signature.args)] = result

    def refuse(*arguments: Any, **keywords: Any) -> None:
        raise TypeError(f"{dispatcher.__name__} is compiled for kernels only; plain() gives the Python function")

    dispatcher.add_overload, dispatcher._compile_for_args = add_overload, refuse


def kernel(*, parallel: bool = True, fastmath: set[str] | bool = FASTMATH) -> Callable[[F], Any]:
    """Compile a CPU kernel, kept on disk between processes."""

    def compiled(f: F, parallel: bool) -> Any:
        made = njit(parallel=parallel, fastmath=fastmath, error_model="numpy", nogil=True)(f)
        keep_cpu_kernel(made)
        return made

    def wrap(f: F) -> Any:
        if not parallel:
            return compiled(f, False)
        return ParallelKernel(compiled(f, True), lambda: compiled(_renamed(f), False))

    return wrap


class ParallelKernel:
    """A parallel kernel; in a process whose threads a fork has taken away, one that runs in a single thread.

    GNU's OpenMP, on whose threads numba runs kernels, ends a process that was forked after they were started. Fork is how
    Python's multiprocessing begins on Linux, and how data loaders make their workers.
    """

    def __init__(self, parallel: Any, make_serial: Callable[[], Any]) -> None:
        self._parallel, self._make_serial = parallel, make_serial
        self._serial: Any = None

    def __call__(self, *arguments: Any) -> Any:
        if not _threads_are_gone:
            return self._parallel(*arguments)
        if self._serial is None:
            self._serial = self._make_serial()
        return self._serial(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parallel, name)


def _renamed(function: Any) -> Any:
    """The function under another name, so that its machine code is stored beside that of the parallel one."""
    name = f"{function.__name__}_serial"
    copy = FunctionType(function.__code__, function.__globals__, name, function.__defaults__, function.__closure__)
    copy.__module__, copy.__qualname__, copy.__doc__ = function.__module__, name, function.__doc__
    return copy


_threads_are_gone = False


def _after_fork() -> None:
    """In a forked child: check whether the parent had started threads, which do not survive a fork."""
    global _threads_are_gone
    with suppress(ValueError):  # of numba, where no threads were started
        _threads_are_gone = _threads_are_gone or threading_layer() == "omp"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """The Python function behind a compiled one, which calls plain functions only; the function itself if it is one.

    For a call or two from Python: scalar functions are not kept on disk, and would be compiled in every process. Python
    raises where compiled code makes an infinity or NaN of floats; give it NumPy's where that can happen.
    """
    body = getattr(function, "py_func", None)
    if body is None:
        return function
    known = body.__globals__
    called = {name: plain(known[name]) for name in body.__code__.co_names if name in known}
    return FunctionType(body.__code__, known | called, body.__name__, body.__defaults__, body.__closure__)
