"""The only place that names jit options for the CPU; compiled kernels are kept by :mod:`nbnumba.kernels._cache`.

Misuse: a function decorated with ``numba.njit(cache=True)`` elsewhere would fall into the traps described there; use the
decorators below, or those of :mod:`nbnumba.kernels._cuda`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from numba import njit
from numba.core import event

from nbnumba.kernels._cache import CACHE_DIR, KernelCache, is_cold
from nbnumba.kernels._compiler import postpone_scipy, tell_compiling

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
tell_compiling(event)


def device(
    function: F | None = None, *, fastmath: set[str] = FASTMATH, inline: str = "never", forceinline: bool = False
) -> Any:
    """Compile scalar physics that CPU and CUDA kernels both call.

    ``forceinline`` has LLVM put the function into its callers: a call copies each parameter block, field by field.

    Python cannot call it, but for :func:`plain`: what would unpack Python's arguments is not compiled, which takes a
    fifth of the time of all compiling.
    """

    def wrap(f: F) -> Any:
        compiled = njit(  # type: ignore[call-overload]
            fastmath=fastmath,
            error_model="numpy",
            inline=inline,
            forceinline=forceinline,
            no_cpython_wrapper=True,
            no_cfunc_wrapper=True,
        )(f)
        if hasattr(compiled, "add_overload"):  # not so where NUMBA_DISABLE_JIT is set
            _keep_from_python(compiled)
        return compiled

    return wrap if function is None else wrap(function)


def _keep_from_python(dispatcher: Any) -> None:
    """Have a call from Python raise TypeError, where Numba would jump to an address that is not there."""

    def add_overload(result: Any) -> None:
        dispatcher.overloads[tuple(result.signature.args)] = result

    def refuse(*arguments: Any, **keywords: Any) -> None:
        raise TypeError(f"{dispatcher.__name__} is compiled for kernels only; plain() gives the Python function")

    dispatcher.add_overload, dispatcher._compile_for_args = add_overload, refuse


def kernel(*, parallel: bool = True, fastmath: set[str] | bool = FASTMATH) -> Callable[[F], Any]:
    """Compile a CPU kernel, kept on disk between processes."""

    def wrap(f: F) -> Any:
        compiled = njit(parallel=parallel, fastmath=fastmath, error_model="numpy", nogil=True)(f)
        if CACHE_DIR is not None and hasattr(compiled, "enable_caching"):
            compiled._cache = KernelCache(compiled.py_func)  # type: ignore[attr-defined]
        return compiled

    return wrap


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
