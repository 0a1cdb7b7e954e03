"""Numba's private parts that kernels of the CPU use, each with what is done without it.

Problem: Numba's cache, the options that omit wrappers and the reports of compiling are not part of its public interface; any
version may rename them. Choice: they are named here, in :mod:`nbnumba.kernels.jit.cache` and in
:mod:`nbnumba.kernels.jit.compiler` only. Where one is missing,
kernels are compiled by plain ``njit``: without a cache, with the wrappers, or without a line that says so. pyproject.toml allows
no Numba that is newer than the tested ones.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


def find(module: str, *names: str) -> Any:
    """A module, or an attribute of it, or of that; None if Numba does not have it."""
    try:
        found: Any = import_module(module)
    except ImportError:
        return None
    for name in names:
        found = getattr(found, name, None)
    return found


#: Bases of :class:`nbnumba.kernels.jit.cache.KernelCache`.
FUNCTION_CACHE: Any = find("numba.core.caching", "FunctionCache")
CACHE_IMPL: Any = find("numba.core.caching", "CompileResultCacheImpl")


def has_cache() -> bool:
    """Whether Numba has what the cache of kernels is built of."""
    return FUNCTION_CACHE is not None and CACHE_IMPL is not None


def find_events() -> ModuleType | None:
    """Numba's module of events, which reports what is compiled."""
    events: ModuleType | None = find("numba.core.event")
    return events if hasattr(events, "register") and hasattr(events, "Listener") else None


def wrapper_options() -> dict[str, bool]:
    """Options that omit the wrappers for calls from Python and C; empty where calls from Python could not be refused."""
    known = find("numba.core.options", "DefaultOptions")
    dispatcher = find("numba.core.registry", "CPUDispatcher")
    if not (hasattr(dispatcher, "add_overload") and hasattr(dispatcher, "_compile_for_args")):
        return {}
    return {name: True for name in ("no_cpython_wrapper", "no_cfunc_wrapper") if hasattr(known, name)}


def inline_options(forceinline: bool) -> dict[str, bool]:
    """The option that has LLVM put a function into its callers, which only makes it faster."""
    return {"forceinline": forceinline} if hasattr(find("numba.core.options", "DefaultOptions"), "forceinline") else {}
