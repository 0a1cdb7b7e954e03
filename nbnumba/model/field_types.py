"""Convert values, among them NumPy's numbers and lists, to the types that dataclass fields declare, or refuse them.

``float`` accepts every real number, ``int`` whole ones (``10.0``, ``np.int32(10)``), ``bool`` Python's and NumPy's,
``Path`` strings and paths, a tuple every sequence of the right length, ``np.ndarray`` whatever NumPy converts to
numbers. A number is never converted to a bool, nor a bool to a number.
"""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.io.values import Given

#: Returned for a value that does not fit the type.
_REFUSED = object()


@cache
def hints_of(cls: Any) -> dict[str, Any]:
    """Types of the fields of a dataclass."""
    return typing.get_type_hints(cls)


def fitted(name: str, hint: Any, value: Any) -> Any:
    """The value, converted to the type of its field.

    Parameters
    ----------
    name : str
        Name of the field, for messages.
    hint
        Its type: numbers, str, Path, Literal, tuples, arrays, classes, unions of them, None.

    Raises
    ------
    ConfigError
        The value cannot be converted.
    """
    found = _fit(hint, value)
    if found is _REFUSED:
        raise ConfigError(f"{name} must be {described(hint)}, got {shown(value)}")
    return found


def shown(value: Any) -> str:
    """A refused value, short enough for a message."""
    if isinstance(value, np.ndarray) and value.size > 9:
        return f"an array of shape {value.shape}"
    text = repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fit(hint: Any, value: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        alternatives = (_fit(one, value) for one in typing.get_args(hint))
        return next((found for found in alternatives if found is not _REFUSED), _REFUSED)
    if origin is Literal:
        return value if isinstance(value, str) and value in typing.get_args(hint) else _REFUSED
    if origin is tuple:
        return _fit_tuple(typing.get_args(hint), value)
    if hint in _SCALARS:
        return _SCALARS[hint](value)
    if hint is Any:
        return value
    if isinstance(hint, type) and issubclass(hint, Given):
        found = hint.taken(value)
        return _REFUSED if found is None else found
    return value if isinstance(value, hint) else _REFUSED


def _fit_tuple(inner: tuple[Any, ...], value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.ndim == 1 else _REFUSED
    if not isinstance(value, tuple | list):
        return _REFUSED
    hints = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
    if len(hints) != len(value):
        return _REFUSED
    found = [_fit(hint, one) for hint, one in zip(hints, value, strict=True)]
    return _REFUSED if any(one is _REFUSED for one in found) else tuple(found)


def _plain(value: Any) -> Any:
    """A NumPy scalar, or an array without dimensions, as a Python number; other values unchanged."""
    return (
        value.item() if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.ndim) else value
    )


def _float(value: Any) -> Any:
    number = _plain(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        return _REFUSED
    try:
        return float(number)
    except OverflowError:
        return _REFUSED


def _int(value: Any) -> Any:
    number = _plain(value)
    if isinstance(number, float) and number.is_integer():
        return int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) else _REFUSED


def _bool(value: Any) -> Any:
    answer = _plain(value)
    return answer if isinstance(answer, bool) else _REFUSED


def _path(value: Any) -> Any:
    if not isinstance(value, str | os.PathLike):
        return _REFUSED
    text = os.fspath(value)
    return Path(text) if isinstance(text, str) and text and "\0" not in text else _REFUSED


def _str(value: Any) -> Any:
    return str(value) if isinstance(value, str) else _REFUSED


def _array(value: Any) -> Any:
    if isinstance(value, str | bytes | dict) or value is None:
        return _REFUSED
    try:
        found = np.asarray(value)
    except (TypeError, ValueError):
        return _REFUSED
    return found if found.ndim and found.dtype != object else _REFUSED


def _none(value: Any) -> Any:
    return value if value is None else _REFUSED


_SCALARS: dict[Any, Callable[[Any], Any]] = {
    float: _float,
    int: _int,
    bool: _bool,
    Path: _path,
    str: _str,
    np.ndarray: _array,
    type(None): _none,
}
_WORDS = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    Path: "the name of a file",
    str: "text",
    np.ndarray: "an array of numbers",
    type(None): "None",
}


def described(hint: Any) -> str:
    """A type in words: ``a whole number or None``."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(described(one) for one in inner)
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"a tuple, each of it {described(inner[0])}"
        kinds = {described(one) for one in inner}
        plural = {"a number": "numbers", "a whole number": "whole numbers"}
        each = plural.get(kinds.pop(), "values") if len(kinds) == 1 else "values"
        return f"{len(inner)} {each}"
    if hint in _WORDS:
        return _WORDS[hint]
    if isinstance(hint, type) and issubclass(hint, Given):
        return hint.described
    return f"a {getattr(hint, '__name__', hint)}"
