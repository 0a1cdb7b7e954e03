"""Parameters that a refinement varies: by name, in units that make steps alike, within bounds, with restraints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import NamedTuple

import numpy as np

from nbnumba.derive.catalog import CELL, expand, free_lengths
from nbnumba.errors import ConfigError
from nbnumba.model.experiment import Experiment
from nbnumba.refinement.options import AMPLITUDES, RefineOptions

#: Parameters that are factors or sizes: their logarithm is refined.
LOGARITHMIC = ("Na", "Nb", "Nc", "fudge", "mosaic_spread_deg", "scale", "water_um")
#: Parameters of the instrument, which all lattices of an image share.
SHARED = re.compile(r"panel_|distance_mm|wavelength_|beam_tilt_|kahn_factor|water_um|phi_deg|osc_deg")
#: Largest factor by which a number of cells or a spread changes, and by which a scale changes.
FACTOR, SCALE_FACTOR = 8.0, 1e9
#: Equal lengths (relative) and angles (deg) of a cell.
ALIKE = 1e-5
#: Panels of a group that moves as a whole: ``panels[0:4]``, ``panels[2]``, ``panels[NAME]``.
PANELS = re.compile(r"panels\[(.+)\]")
#: Motions of a panel: shifts of its middle along its axes, and turns about them.
PANEL_MOTIONS = ("fast_mm", "slow_mm", "normal_mm", "turn_fast_deg", "turn_slow_deg", "turn_normal_deg")


@dataclass(frozen=True)
class Free:
    """A parameter.

    Attributes
    ----------
    name : str
        As results have it: ``cell_a``, or ``lattice2.cell_a`` where an image has several lattices.
    parameter : str
        As :mod:`nbnumba.derive.catalog` has it.
    lattices : tuple of int
        Those that it changes.
    start : float
        Value at the start, in its unit; 0 where only changes have a meaning.
    logarithmic : bool
        Whether the logarithm of its value over ``start`` is refined.
    bounds : (float, float)
        Of what is refined.
    sigma : float
        Standard deviation of the start's value, in its unit; infinite without a restraint.
    """

    name: str
    parameter: str
    lattices: tuple[int, ...]
    start: float
    logarithmic: bool
    bounds: tuple[float, float] = (-np.inf, np.inf)
    sigma: float = np.inf

    def change(self, x: float) -> float:
        """Change of the parameter, in its unit, for what is refined."""
        return self.start * float(np.expm1(x)) if self.logarithmic else x

    def slope(self, x: float) -> float:
        """Derivative of :meth:`change`."""
        return self.start * float(np.exp(x)) if self.logarithmic else 1.0

    def value(self, x: float) -> float:
        """Value of the parameter, in its unit."""
        return self.start + self.change(x)

    def at_bound(self, x: float) -> str:
        """Why a refinement that ended at ``x`` is not to be trusted; empty where no bound is reached."""
        if self.bounds[0] < x < self.bounds[1]:
            return ""
        return f"{self.name} ended at its bound, {self.value(x):.4g}: restrain it or start nearer"


class Prior(NamedTuple):
    """What restraints add to minus the log likelihood at a point.

    Attributes
    ----------
    value : float
    gradient : (n,) float64
    information : (n,) float64
        Diagonal of the matrix.
    slopes : (n,) float64
        Derivatives of the parameters, in their units, by what is refined.
    """

    value: float
    gradient: np.ndarray
    information: np.ndarray
    slopes: np.ndarray


def prior(free: Sequence[Free], x: np.ndarray) -> Prior:
    """The restraints of parameters at a point."""
    held = np.array([1.0 / one.sigma**2 for one in free])
    changes = np.array([one.change(v) for one, v in zip(free, x, strict=True)])
    slopes = np.array([one.slope(v) for one, v in zip(free, x, strict=True)])
    return Prior(float(0.5 * held @ changes**2), held * changes * slopes, held * slopes**2, slopes)


def cell_system_of(cell: Sequence[float]) -> str:
    """The crystal system with the fewest free lengths and angles that a unit cell has."""
    a, b, c, alpha, beta, gamma = cell

    def alike(x: float, y: float) -> bool:
        return abs(x - y) <= ALIKE * max(abs(x), abs(y))

    right = [alike(angle, 90.0) for angle in (alpha, beta, gamma)]
    if all(right):
        if alike(a, b):
            return "cubic" if alike(b, c) else "tetragonal"
        return "orthorhombic"
    if right[0] and right[1] and alike(gamma, 120.0) and alike(a, b):
        return "hexagonal"
    if alike(a, b) and alike(b, c) and alike(alpha, beta) and alike(beta, gamma):
        return "rhombohedral"
    return "monoclinic" if right[0] and right[2] else "triclinic"


def names_of(group: str, experiment: Experiment, cell_system: str | None) -> tuple[str, ...]:
    """Names of docs/derivatives.md that a group stands for; a name stands for itself."""
    system = cell_system or cell_system_of(experiment.crystal.unit_cell)
    panels = range(len(experiment.detector.panels))
    groups: dict[str, tuple[str, ...]] = {
        "misset": tuple(f"misset_{axis}_deg" for axis in "xyz"),
        "cell": tuple(free_lengths(system)),
        "N": ("Na", "Nb", "Nc"),
        "spread": ("mosaic_spread_deg",),
        "distance": ("distance_mm",),
        "spectrum": ("wavelength_stretch", "wavelength_shift_A"),
        "tilt": ("beam_tilt_x_mrad", "beam_tilt_y_mrad"),
        "panels": tuple(f"panel_{motion}[{panel}]" for panel in panels for motion in PANEL_MOTIONS),
    }
    if match := PANELS.fullmatch(group):
        return tuple(f"panel_{motion}[{match[1]}]" for motion in PANEL_MOTIONS)
    return groups.get(group, (group,))


def expand_all(groups: Sequence[str], experiment: Experiment, cell_system: str | None) -> tuple[str, ...]:
    """Names of all groups.

    Raises
    ------
    ConfigError
        A name occurs twice.
    """
    return expand([name for group in groups for name in names_of(group, experiment, cell_system)])


def start_of(parameter: str, experiment: Experiment) -> float:
    """Value of a parameter in an experiment; 0 where only changes have a meaning."""
    crystal, simulation = experiment.crystal, experiment.simulation
    if parameter in CELL:
        return float(crystal.unit_cell[CELL.index(parameter)])
    known = {
        "Na": crystal.Na,
        "Nb": crystal.Nb,
        "Nc": crystal.Nc,
        "fudge": crystal.fudge,
        "mosaic_spread_deg": crystal.mosaic_spread_deg,
        "scale": 1.0,
        "distance_mm": experiment.panel.distance * 1000,
        "kahn_factor": simulation.beam.kahn_factor,
        "water_um": simulation.background.water_um,
        "phi_deg": simulation.scan.phi_deg,
        "osc_deg": simulation.scan.osc_deg or 0.0,
    }
    return float(known.get(parameter, 0.0))


def free_parameters(experiments: Sequence[Experiment], options: RefineOptions) -> tuple[Free, ...]:
    """Parameters of all lattices of an image, in the order of the options.

    Raises
    ------
    ConfigError
        There is no such parameter, or a restraint is for none that is refined.
    """
    # a model needs a parameter; where structure factors alone are refined the scale is not
    groups = _without_amplitudes(options.parameters) or ("scale",)
    names = expand_all(groups, experiments[0], options.cell_system)
    sigmas = restraints_of(options, experiments[0], names)
    every = tuple(range(len(experiments)))
    found = []
    for lattice, experiment in enumerate(experiments):
        for name in names:
            shared = SHARED.match(name) is not None
            if shared and lattice > 0:
                continue
            start = start_of(name, experiment)
            logarithmic = name in LOGARITHMIC and start > 0
            most = np.log(SCALE_FACTOR if name == "scale" else FACTOR)
            found.append(
                Free(
                    name=name if shared or len(every) == 1 else f"lattice{lattice + 1}.{name}",
                    parameter=name,
                    lattices=every if shared else (lattice,),
                    start=start,
                    logarithmic=logarithmic,
                    bounds=(-most, most) if logarithmic else (-np.inf, np.inf),
                    sigma=sigmas.get(name, np.inf),
                )
            )
    return tuple(found)


def _without_amplitudes(groups: Sequence[str]) -> tuple[str, ...]:
    return tuple(group for group in groups if group != AMPLITUDES)


def restraints_of(options: RefineOptions, experiment: Experiment, names: Sequence[str]) -> dict[str, float]:
    """Standard deviations of the starts of the parameters ``names`` that have a restraint.

    Raises
    ------
    ConfigError
        A restraint is for none of them.
    """
    sigmas: dict[str, float] = {}
    for group, sigma in options.restraints:
        if group == AMPLITUDES and options.amplitudes:
            continue
        members = [name for name in names_of(group, experiment, options.cell_system) if name in names]
        if not members:
            members = [name for name in names if fnmatch(name, group)]
        if not members:
            raise ConfigError(f"--restrain {group}={sigma:g}: it is not refined, but {', '.join(names)}")
        sigmas |= dict.fromkeys(members, sigma)
    return sigmas


def stages_of(options: RefineOptions, experiment: Experiment, free: Sequence[Free]) -> tuple[tuple[int, ...], ...]:
    """Numbers of the parameters of each stage.

    Raises
    ------
    ConfigError
        A stage has a parameter that is not refined.
    """
    stages = []
    for groups in options.stages or (options.parameters,):
        wanted = _without_amplitudes(groups)
        names = expand_all(wanted, experiment, options.cell_system) if wanted else ()
        known = {one.parameter for one in free}
        for name in names:
            if name not in known:
                raise ConfigError(f"--stages: {name} is not refined: name it in --refine, too")
        stages.append(tuple(i for i, one in enumerate(free) if one.parameter in names))
    return tuple(stages)
