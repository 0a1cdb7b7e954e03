"""Images of many shots, each with the model to start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbnumba.errors import ConfigError
from nbnumba.model.config import Simulation
from nbnumba.model.experiment import Experiment
from nbnumba.model.field_types import fitted, shown
from nbnumba.refinement.options import RefineOptions
from nbnumba.refinement.refine import Refinement, read
from nbnumba.refinement.refined import Refined
from nbnumba.render.dispatch import set_threads
from nbnumba.render.threads import thread_safe


@dataclass(frozen=True, eq=False)
class ShotFile:
    """A shot.

    Attributes
    ----------
    name : str
        Begin of the names of its files: a name without a folder, of this shot alone.
    image : path, (slow, fast) array, or sequence of such arrays, one for each panel
        As of :func:`nbnumba.refinement.refine.refine`.
    start : Simulation, or sequence of them
        The model to start from; several: lattices of the image.
    options : mapping of str to object
        Fields of :class:`nbnumba.refinement.options.RefineOptions` that this shot has of its own, as ``offset``.
    number, reflections
        Which image of a file, and h, k, l of the spots that are taken: as of :func:`nbnumba.refinement.refine.refine`.
    """

    name: str
    image: Any
    start: Simulation | Sequence[Simulation]
    options: Mapping[str, Any] = field(default_factory=dict)
    number: int | None = None
    reflections: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ConfigError(f"shot_file.name must be text, got {shown(self.name)}")
        if not isinstance(self.start, Simulation | Sequence) or not all(isinstance(x, Simulation) for x in self.starts):
            raise ConfigError(f"shot_file.start must be a Simulation or some of them, got {shown(self.start)}")
        if not isinstance(self.options, Mapping):
            raise ConfigError(f"shot_file.options must be a mapping of names to values, got {shown(self.options)}")
        object.__setattr__(self, "number", fitted("shot_file.number", int | None, self.number))
        if not self.name or "/" in self.name or "\\" in self.name or self.name.startswith("."):
            raise ConfigError(f"a shot needs a name without a folder, got {self.name!r}")
        if not self.starts:
            raise ConfigError(f"shot {self.name} needs a model to start from")
        unknown = sorted(set(self.options) - set(RefineOptions.__dataclass_fields__))
        if unknown:
            raise ConfigError(f"shot {self.name}: refine has no option {unknown[0]}")

    @property
    def starts(self) -> tuple[Simulation, ...]:
        """The models to start from, one for each lattice."""
        return (self.start,) if isinstance(self.start, Simulation) else tuple(self.start)

    def options_of(self, common: RefineOptions) -> RefineOptions:
        """Options of this shot, the others being those of all."""
        return replace(common, **self.options)


def check_names(shots: Sequence[ShotFile], reserved: Sequence[str] = ()) -> None:
    """Raise ConfigError if there is no shot, if two have the same name, or one has a reserved one."""
    if not shots:
        raise ConfigError("there is no shot to refine")
    known = set()
    for shot in shots:
        if shot.name in known:
            raise ConfigError(f"two shots have the name {shot.name}: their files would replace one another")
        if shot.name in reserved:
            raise ConfigError(f"no shot can have the name {shot.name}, which is that of a file of all shots")
        known.add(shot.name)


@thread_safe
def refine_shot(
    shot: ShotFile,
    experiments: Sequence[Experiment],
    common: RefineOptions,
    mask: Any = None,
    device: str = "auto",
    threads: int | None = None,
) -> Refined:
    """Refine one shot, as :func:`nbnumba.refinement.refine.refine` does.

    Parameters
    ----------
    experiments : sequence of Experiment
        Of its starts.
    """
    options = shot.options_of(common)
    set_threads(threads)
    found = read(shot.image, experiments, options, mask, shot.number, shot.reflections)
    return Refinement(*found[:2], options, device, threads, reflections=found[2]).run()
