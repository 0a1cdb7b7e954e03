"""Parameters by name, as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from nbnumba.derive.crystal_parameters import (
    CellLength,
    Fudge,
    MatrixElement,
    MosaicSpread,
    Oscillation,
    Size,
    Turn,
)
from nbnumba.derive.instrument_parameters import BFactor, Kahn, Motion, Scale, Tilt, Water, Wavelength
from nbnumba.derive.parameter import Parameter
from nbnumba.derive.reflections import StructureFactor
from nbnumba.derive.setting import DEGREE
from nbnumba.errors import ConfigError
from nbnumba.model.experiment import Experiment

CELL = ("cell_a", "cell_b", "cell_c", "cell_alpha", "cell_beta", "cell_gamma")
#: Free lengths and angles of each crystal system, each with the numbers of those that follow it.
CELL_SYSTEMS: dict[str, dict[str, tuple[int, ...]]] = {
    "triclinic": {name: (i,) for i, name in enumerate(CELL)},
    "monoclinic": {"cell_a": (0,), "cell_b": (1,), "cell_c": (2,), "cell_beta": (4,)},
    "orthorhombic": {"cell_a": (0,), "cell_b": (1,), "cell_c": (2,)},
    "tetragonal": {"cell_a": (0, 1), "cell_c": (2,)},
    "trigonal": {"cell_a": (0, 1), "cell_c": (2,)},
    "hexagonal": {"cell_a": (0, 1), "cell_c": (2,)},
    "rhombohedral": {"cell_a": (0, 1, 2), "cell_alpha": (3, 4, 5)},
    "cubic": {"cell_a": (0, 1, 2)},
}
#: Elements of the matrix N.
SIZES = {"Na": (0, 0), "Nb": (1, 1), "Nc": (2, 2), "N_ab": (0, 1), "N_ac": (0, 2), "N_bc": (1, 2)}
PANEL = re.compile(r"panel_(turn_)?(fast|slow|normal)_(mm|deg)(?:\[(.+)\])?")
REFLECTION = re.compile(r"F\[\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*\]")
ELEMENT = re.compile(r"A_matrix\[([0-8])\]")
#: Names in the order of the documentation; of panels, reflections and the matrix the form.
NAMES = (
    *(f"misset_{x}_deg" for x in "xyz"),
    *CELL,
    *("A_matrix", "A_matrix[0]"),
    *(*SIZES, "fudge"),
    *("mosaic_spread_deg", "phi_deg", "osc_deg"),
    *("scale", "B_factor", "wavelength_stretch", "wavelength_shift_A", "kahn_factor", "water_um"),
    *("beam_tilt_x_mrad", "beam_tilt_y_mrad", "distance_mm"),
    *(f"panel_{axis}_mm" for axis in ("fast", "slow", "normal")),
    *(f"panel_turn_{axis}_deg" for axis in ("fast", "slow", "normal")),
    *("panel_fast_mm[0]", "F[1, 2, 3]"),
)


def expand(names: Sequence[str] | str) -> tuple[str, ...]:
    """The names one by one: ``A_matrix`` stands for its nine elements. A string has commas between the names.

    Raises
    ------
    ConfigError
        There is no name, or one occurs twice.
    """
    if isinstance(names, str):
        names = [name.strip() for name in re.split(r",(?![^\[]*\])", names)]
    found: list[str] = []
    for name in names:
        found += [f"A_matrix[{i}]" for i in range(9)] if name == "A_matrix" else [name]
    if not found:
        raise ConfigError("give the name of a parameter, as misset_x_deg")
    for name in found:
        if found.count(name) > 1:
            raise ConfigError(f"parameter {name} is named twice")
    return tuple(found)


def find(name: str, experiment: Experiment, cell_system: str | None = None) -> Parameter:
    """The parameter of a name.

    Raises
    ------
    ConfigError
        There is no such parameter, or not in this crystal system or experiment.
    """
    if name in CELL:
        return _cell(name, cell_system)
    if match := ELEMENT.fullmatch(name):
        return MatrixElement(name, int(match[1]), experiment.simulation.beam.wavelength_A)
    if match := REFLECTION.fullmatch(name):
        return StructureFactor(name, (int(match[1]), int(match[2]), int(match[3])))
    if (match := PANEL.fullmatch(name)) and (match[1] is None) == (match[3] == "mm"):
        members = _members(name, match[4], experiment)
        return _panel_motion(name, match[2], match[1] is not None, members, experiment)
    if name in _SIMPLE:
        return _SIMPLE[name](name, experiment)
    from difflib import get_close_matches

    close = get_close_matches(name, NAMES, 1)
    raise ConfigError(
        f"no parameter {name}{f': do you mean {close[0]}?' if close else ''} (docs/derivatives.md lists them)"
    )


def _misset(name: str, experiment: Experiment) -> Parameter:
    return Turn(name, np.eye(3)["xyz".index(name.removeprefix("misset_")[0])])


def _tilt(name: str, experiment: Experiment) -> Parameter:
    frame = experiment.detector.frame
    return Tilt(name, np.cross(frame.beam, frame.polar) if "_x_" in name else -frame.polar)


def _distance(name: str, experiment: Experiment) -> Parameter:
    zero, panels = np.zeros(3), tuple(range(len(experiment.detector.panels)))
    return Motion(name, experiment.detector.frame.beam * 1e-3, zero, zero, panels)


#: Parameters that are told by their name alone.
_SIMPLE: dict[str, Callable[[str, Experiment], Parameter]] = {
    **dict.fromkeys(("misset_x_deg", "misset_y_deg", "misset_z_deg"), _misset),
    **dict.fromkeys(SIZES, lambda name, _: Size(name, *SIZES[name])),
    "phi_deg": lambda name, experiment: Turn(name, experiment.detector.frame.spindle),
    "wavelength_stretch": lambda name, _: Wavelength(name, True),
    "wavelength_shift_A": lambda name, _: Wavelength(name, False),
    **dict.fromkeys(("beam_tilt_x_mrad", "beam_tilt_y_mrad"), _tilt),
    "distance_mm": _distance,
    "fudge": lambda name, _: Fudge(name),
    "mosaic_spread_deg": lambda name, _: MosaicSpread(name),
    "osc_deg": lambda name, _: Oscillation(name),
    "scale": lambda name, _: Scale(name),
    "B_factor": lambda name, _: BFactor(name),
    "kahn_factor": lambda name, _: Kahn(name),
    "water_um": lambda name, _: Water(name),
}


def free_lengths(cell_system: str | None) -> dict[str, tuple[int, ...]]:
    """Free lengths and angles of a crystal system, each with the numbers of those that follow it; all where there is none.

    Raises
    ------
    ConfigError
        There is no such system.
    """
    if cell_system is not None and cell_system not in CELL_SYSTEMS:
        raise ConfigError(f"cell_system must be one of {', '.join(CELL_SYSTEMS)}, got {cell_system!r}")
    return CELL_SYSTEMS[cell_system or "triclinic"]


def _cell(name: str, cell_system: str | None) -> Parameter:
    free = free_lengths(cell_system)
    if name not in free:
        raise ConfigError(f"{name} is not free in a {cell_system} cell: {', '.join(free)} are")
    return CellLength(name, free[name])


def _members(name: str, text: str | None, experiment: Experiment) -> tuple[int, ...]:
    """Numbers of the panels in square brackets: all, a number, first:end, or a name."""
    panels = experiment.simulation.detector.panels
    count = len(experiment.detector.panels)
    if text is None:
        return tuple(range(count))
    if match := re.fullmatch(r"(\d*):(\d*)", text):
        found = tuple(range(count)[slice(int(match[1] or 0), int(match[2] or count))])
    elif text.isdigit():
        found = (int(text),) if int(text) < count else ()
    else:
        found = tuple(i for i, panel in enumerate(panels) if panel.name == text)
    if not found:
        raise ConfigError(f"{name}: the detector has no such panel, but {count}; they are counted from 0")
    return found


def _panel_motion(name: str, axis: str, turns: bool, members: tuple[int, ...], experiment: Experiment) -> Parameter:
    """Shift along an axis of the first of the panels, or rotation about it through the middle of all of them."""
    panels = [experiment.detector.panels[member] for member in members]
    vector = {"fast": panels[0].fdet, "slow": panels[0].sdet, "normal": panels[0].odet}[axis]
    vector = vector / np.linalg.norm(vector)
    middles = [p.pix0 + p.pixel_size * (p.fpixels * p.fdet + p.spixels * p.sdet) / 2 for p in panels]
    zero = np.zeros(3)
    if turns:
        return Motion(name, zero, vector * DEGREE, np.mean(middles, axis=0), members)
    return Motion(name, vector * 1e-3, zero, zero, members)
