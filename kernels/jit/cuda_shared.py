"""Code that the adapters of both CUDA packages share: see :mod:`nbnumba.kernels.jit.cuda`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cuda.bindings import driver as bindings

#: Functions of one instruction of the assembler: its text, and the types of the result and of the arguments.
INSTRUCTIONS = {
    "reciprocal": ("rcp.approx.ftz.f32 $0, $1;", "float32", "float32"),
    "add_wide": ("mad.wide.s32 $0, $1, $2, $3;", "int64", "int32", "int32", "int64"),
    "funnel": ("shf.l.wrap.b32 $0, $1, $2, $3;", "int32", "int32", "int32", "int32"),
    "shifted_down": ("shr.s32 $0, $1, $2;", "int32", "int32", "int32"),
    "sign_bit": ("shr.u32 $0, $1, 31;", "int32", "int32"),
}
#: Loads ``f(array, index)`` from the device's memory: text, type, and whether each has to take place where and as often as
#: it is written. Others may be moved out of loops and in front of conditions: their addresses have to be valid even there.
LOADS = {
    "read_only": ("ld.global.nc.f32 $0, [$1];", "float32", False),
    "read_anew": ("ld.volatile.global.s32 $0, [$1];", "int32", True),
}
#: The assembler's letters for registers of these types.
LETTERS = {"int32": "r", "int64": "l", "float32": "f"}


def make_instruction(name: str, types: Any, intrinsic: Any, generate: Callable[..., Any]) -> Any:
    """One of :data:`INSTRUCTIONS` as a function of the kernels.

    Parameters
    ----------
    name : str
    types : module
        The package's types of numbers.
    intrinsic : callable
        The package's decorator.
    generate : callable
        Gives the package's generator of code from the text, its constraints, and the names of the types of the result
        and of the arguments.
    """
    text, out, *inputs = INSTRUCTIONS[name]
    constraints = ",".join([f"={LETTERS[out]}", *(LETTERS[kind] for kind in inputs)])
    signature = getattr(types, out)(*(getattr(types, kind) for kind in inputs))
    codegen = generate(text, constraints, out, inputs)

    def of_one(typingctx: Any, a: Any) -> Any:
        return signature, codegen

    def of_two(typingctx: Any, a: Any, b: Any) -> Any:
        return signature, codegen

    def of_three(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
        return signature, codegen

    return intrinsic((of_one, of_two, of_three)[len(inputs) - 1])


def make_load(name: str, types: Any, intrinsic: Any, generate: Callable[..., Any]) -> Any:
    """One of :data:`LOADS` as a function of the kernels; parameters as of :func:`make_instruction`.

    ``generate`` is called with text, constraints, name of the type, and whether the load stays where it is.
    """
    text, kind, stays = LOADS[name]
    codegen = generate(text, f"={LETTERS[kind]},l", kind, stays)

    def load(typingctx: Any, array: Any, index: Any) -> Any:
        return getattr(types, kind)(array, types.int32), codegen

    return intrinsic(load)


def is_done(event: Any) -> bool:
    """Whether all work queued before the event has finished; raises if it failed."""
    (status,) = bindings.cuEventQuery(event.handle)
    if status == bindings.CUresult.CUDA_ERROR_NOT_READY:
        return False
    event.synchronize()
    return True
