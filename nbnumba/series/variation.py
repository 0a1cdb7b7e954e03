"""Shot-to-shot variation: a TOML file with a distribution for each field that varies.

A table stands for a part of the simulation (``[beam]``, ``[crystal]``, ``[detector]``, ``[scan]``, ``[sampling]``,
``[background]``), a key for one of its fields::

    [beam]
    wavelength_A = { distribution = "normal", mean = 1.0, sigma = 0.002 }
    fluence = { distribution = "lognormal", median = 1.0, sigma = 0.5, times = true }

    [crystal]
    mosaic_spread_deg = { distribution = "uniform", low = 0.1, high = 0.4 }
    N = { distribution = "normal", mean = 20, sigma = 5, min = 4 }

``times = true`` multiplies the value that the simulation has. ``crystal.N`` sets Na, Nb and Nc from one draw,
``crystal.cell`` multiplies all cell edges by one. Every field of every shot has a random stream of its own, made from the
series' seed, the shot's number and the field's name: adding a line changes no other value.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
import types
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from nbnumba.errors import ConfigError, FileError
from nbnumba.io.files import read_text
from nbnumba.io.values import is_given
from nbnumba.model.checked import Checked
from nbnumba.model.config import Background, Beam, Crystal, Detector, Sampling, Scan, Simulation
from nbnumba.model.field_types import hints_of

#: Table of the file -> class whose fields are its keys.
PARTS: dict[str, type] = {
    "beam": Beam,
    "crystal": Crystal,
    "detector": Detector,
    "scan": Scan,
    "sampling": Sampling,
    "background": Background,
}
#: Required parameters; ``min`` and ``max`` truncate the first two, ``times`` is allowed except for "choice".
PARAMETERS = {
    "normal": ("mean", "sigma"),
    "lognormal": ("median", "sigma"),
    "uniform": ("low", "high"),
    "choice": ("values",),
}
_OPTIONAL = {"normal": {"min", "max"}, "lognormal": {"min", "max"}, "uniform": set(), "choice": {"weights"}}
#: Keys that stand for more than one number of the configuration.
_EXTRA = {"crystal": ("N", "cell")}
#: Most draws until one lies between ``min`` and ``max``; a range with less than 1 % of the distribution may fail.
TRIALS = 1000
#: Most words, separated by dots, in the key of a line.
MOST_WORDS = 100


def stream(seed: int, number: int, purpose: str) -> np.random.Generator:
    """Random numbers of one purpose in one shot, independent of all others."""
    key = (number, zlib.crc32(purpose.encode()))
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


@dataclass(frozen=True)
class Variation(Checked):
    """How one field varies from shot to shot.

    Attributes
    ----------
    part, field : str
        Part and field of the simulation, for example ``beam`` and ``wavelength_A``.
    distribution : str
        ``normal``, ``lognormal``, ``uniform`` or ``choice``.
    parameters : tuple of (str, value)
        As in the file.
    times : bool
        Multiply the simulation's own value instead of replacing it.
    """

    part: str
    field: str
    distribution: str
    parameters: tuple[tuple[str, Any], ...]
    times: bool = False

    @property
    def name(self) -> str:
        """``part.field``."""
        return f"{self.part}.{self.field}"

    def draw(self, random: np.random.Generator) -> Any:
        """One value.

        Raises
        ------
        ConfigError
            No draw lies between ``min`` and ``max``.
        """
        p = dict(self.parameters)
        if self.distribution == "choice":
            return p["values"][int(random.choice(len(p["values"]), p=_shares(p)))]
        if self.distribution == "uniform":
            return float(random.uniform(p["low"], p["high"]))
        low, high = p.get("min", -math.inf), p.get("max", math.inf)
        for _ in range(TRIALS):
            if self.distribution == "normal":
                value = float(random.normal(p["mean"], p["sigma"]))
            else:
                value = float(p["median"] * math.exp(random.normal(0.0, p["sigma"])))
            if low <= value <= high:
                return value
        raise ConfigError(f"{self.name}: none of {TRIALS} draws lies between min {low:g} and max {high:g}: widen them")


def read_variations(path: Path | str) -> tuple[Variation, ...]:
    """The variations of a TOML file, in its order.

    Raises
    ------
    FileError
        The file cannot be read, is no TOML, or names a field, a distribution or a parameter that does not exist.
    """
    text = read_text(path, "file of distributions")
    for line, content in enumerate(text.split("\n"), 1):
        # time and memory of tomllib grow as the square of a key's length; fields have two words
        words = max(part.count(".") for part in re.split("[][{},]", content))
        if words > MOST_WORDS:
            raise FileError(f"line {line} of the file of distributions {path} has a key of {words} words: give one")
    try:
        tables = tomllib.loads(text)
    except ValueError as error:  # also for whole numbers of more digits than Python reads
        raise FileError(f"the file of distributions {path} is not TOML: {error}") from error
    except RecursionError as error:
        raise FileError(f"the file of distributions {path} is nested too deeply") from error
    try:
        return make_variations(tables)
    except ConfigError as error:
        raise FileError(f"{path}: {error}") from error


def make_variations(content: Mapping[str, Any]) -> tuple[Variation, ...]:
    """The variations of a mapping laid out as the TOML file is.

    Raises
    ------
    ConfigError
        The mapping names a field, a distribution or a parameter that does not exist.
    """
    found = []
    for part, table in content.items():
        if part not in PARTS:
            raise ConfigError(
                f"[{part}] is no part of a simulation{_near(part, PARTS)}; those that can vary are {', '.join(PARTS)}"
            )
        if not isinstance(table, Mapping):
            raise ConfigError(f"{part} must be a table: write [{part}] and the fields below it")
        found += [_variation(part, field, entry) for field, entry in table.items()]
    return tuple(found)


def vary(simulation: Simulation, variations: tuple[Variation, ...], seed: int, number: int) -> Simulation:
    """The simulation of one shot: each varied field has a value drawn for this ``number``.

    Raises
    ------
    ConfigError
        A value is not allowed; the message names the shot.
    """
    changes: dict[str, dict[str, Any]] = {}
    for variation in variations:
        part = getattr(simulation, variation.part)
        value = variation.draw(stream(seed, number, variation.name))
        try:
            changes.setdefault(variation.part, {}).update(_change(part, variation, value))
        except ConfigError as error:
            raise ConfigError(f"{error} (shot {number})") from None
    try:
        parts = {name: replace(getattr(simulation, name), **values) for name, values in changes.items()}
    except ConfigError as error:
        raise ConfigError(f"{error} (drawn for shot {number}; cut the distribution with min and max)") from None
    return replace(simulation, **parts)


def _change(part: Any, variation: Variation, value: Any) -> dict[str, Any]:
    """New values of the part's fields."""
    if variation.name == "crystal.N":
        return {key: max(1, round(value * getattr(part, key) if variation.times else value)) for key in _AXES}
    if variation.name == "crystal.cell":
        changed: dict[str, Any] = {}
        if part.cell is not None:
            changed["cell"] = (*(v * value for v in part.cell[:3]), *part.cell[3:])
        if part.A_matrix is not None:
            changed["A_matrix"] = tuple(v / value for v in part.A_matrix)
        return changed
    kinds = _kinds(type(part), variation.field)
    if variation.times:
        own = getattr(part, variation.field)
        if own is None or own == 0:
            raise ConfigError(f"{variation.name} has times = true, but the simulation gives it no value to multiply")
        value = own * value
    if int in kinds and float not in kinds and isinstance(value, float):
        value = round(value)
    return {variation.field: value}


_AXES = ("Na", "Nb", "Nc")


def _kinds(owner: type, field: str) -> set[Any]:
    """Types that a field takes: the members of a union, one by one."""
    kind = hints_of(owner)[field]
    if get_origin(kind) in (Union, types.UnionType):
        return set(get_args(kind))
    return {str if get_origin(kind) is Literal else kind}


def _variable(owner: type) -> dict[str, set[Any]]:
    """Fields of one value each, with the types that they take."""
    single = {field.name: {kind for kind in _kinds(owner, field.name) if not is_given(kind)} for field in fields(owner)}
    return {name: kinds for name, kinds in single.items() if kinds <= {int, float, bool, str, Path, type(None)}}


def _variation(part: str, field: str, entry: Any) -> Variation:
    name = f"{part}.{field}"
    known = _variable(PARTS[part])
    if field not in known and field not in _EXTRA.get(part, ()):
        raise ConfigError(f"{name} is no field that can vary{_near(field, [*known, *_EXTRA.get(part, ())])}")
    if not isinstance(entry, Mapping):
        entry = {"distribution": "choice", "values": [entry]}
    kind = entry.get("distribution")
    if not isinstance(kind, str) or kind not in PARAMETERS:
        raise ConfigError(f"{name}: distribution must be one of {', '.join(PARAMETERS)}, got {kind!r}")
    allowed = {"distribution", "times", *PARAMETERS[kind], *_OPTIONAL[kind]}
    for key in entry:
        if key not in allowed:
            raise ConfigError(f"{name}: {kind} has no parameter {key!r}{_near(key, allowed)}")
    if missing := [key for key in PARAMETERS[kind] if key not in entry]:
        raise ConfigError(f"{name}: {kind} needs {' and '.join(missing)}")
    parameters = {key: value for key, value in entry.items() if key not in ("distribution", "times")}
    times = entry.get("times", field == "cell")
    if not isinstance(times, bool) or (field == "cell" and not times):
        raise ConfigError(f"{name}: times must be true or false{', and true for the cell' * (field == 'cell')}")
    _check_parameters(name, kind, parameters)
    if kind == "choice":
        _check_choice(name, known.get(field, {float}), parameters["values"], times)
        _shares(parameters)
        if Path in known.get(field, set()):  # processes that make shots may have another working folder
            parameters["values"] = [os.path.abspath(value) for value in parameters["values"]]
    elif field in known and not known[field] & {int, float}:
        raise ConfigError(f"{name} is not a number: use the distribution choice")
    frozen = tuple((key, tuple(v) if isinstance(v, list) else v) for key, v in parameters.items())
    return Variation(part, field, kind, frozen, times)


def _check_parameters(name: str, kind: str, parameters: Mapping[str, Any]) -> None:
    for key, value in parameters.items():
        if key == "values":
            continue
        numbers = value if key == "weights" and isinstance(value, list) else [value]
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not _is_finite(number):
                raise ConfigError(f"{name}: {key} must be a finite number, got {value!r}")
    if parameters.get("sigma", 0) < 0:
        raise ConfigError(f"{name}: sigma must be >= 0, got {parameters['sigma']}")
    if parameters.get("median", 1) <= 0:
        raise ConfigError(f"{name}: median must be > 0, got {parameters['median']}")
    low, high = ("low", "high") if kind == "uniform" else ("min", "max")
    if low in parameters and high in parameters and parameters[low] > parameters[high]:
        raise ConfigError(f"{name}: {low} must not be above {high}, got {parameters[low]} and {parameters[high]}")


def _check_choice(name: str, kinds: set[Any], values: Any, times: bool) -> None:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{name}: values must be a list of at least one value")
    words, numbers = kinds & {str, Path}, kinds & {int, float}
    for value in values:
        if isinstance(value, bool):
            good = bool in kinds
        elif isinstance(value, str):
            good = bool(words) and not times
        else:
            good = isinstance(value, (int, float)) and bool(numbers) and _is_finite(value)
        if not good:
            raise ConfigError(f"{name}: {value!r} is not a value of this field")


def _shares(parameters: Mapping[str, Any]) -> np.ndarray | None:
    weights = parameters.get("weights")
    if weights is None:
        return None
    shares = np.asarray(weights, dtype=float)
    if shares.shape != (len(parameters["values"]),) or (shares < 0).any() or not shares.sum() > 0:
        raise ConfigError("a choice needs one weight for each of its values, none negative and not all 0")
    return shares / shares.sum()


def _is_finite(number: float) -> bool:
    """Whether a number is finite as a float; whole numbers may be too large for one."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _near(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, [str(k) for k in known], n=1)
    return f"; did you mean {near[0]}?" if near else ""
