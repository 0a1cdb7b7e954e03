"""The image as a function of a vector of parameters, for optimizers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nbnumba.derive.derivatives import Derivatives, derivatives
from nbnumba.derive.parameter import Curvature, Parameter
from nbnumba.derive.setting import Setting
from nbnumba.derive.state import State
from nbnumba.errors import ConfigError
from nbnumba.model.config import Simulation
from nbnumba.model.experiment import Experiment
from nbnumba.render.dispatch import set_threads
from nbnumba.render.threads import thread_safe


class Followed(Parameter):
    """A parameter that is changed first, and then others: its derivative is that of all of them together.

    It is needed where they do not simply add.

    Parameters
    ----------
    parameter : Parameter
    before : State
        To which its change is made.
    change : float
    later : sequence of (Parameter, float)
        Those that follow, and their changes.
    """

    def __init__(
        self, parameter: Parameter, before: State, change: float, later: Sequence[tuple[Parameter, float]]
    ) -> None:
        super().__init__(parameter.name)
        self._parameter, self._before, self._change, self._later = parameter, before, change, later
        self.smooth = parameter.smooth

    def applied(self, state: State, change: complex) -> State:
        """The state after all changes, this one being larger by ``change``."""
        found = self._parameter.applied(self._before, self._change + change)
        for parameter, later in self._later:
            found = parameter.applied(found, later)
        return found

    def check(self, at: Setting) -> None:
        """See :class:`Parameter`."""
        self._parameter.check(at)

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`."""
        raise ConfigError(f"no second derivative with respect to {self.name}, whose change others follow: name it last")


def compose(
    start: Setting, parameters: Sequence[Parameter], changes: np.ndarray
) -> tuple[Setting, tuple[Parameter, ...]]:
    """The setting after changes of the parameters, one after the other, and derivatives with respect to each of these changes."""
    steps = list(zip(parameters, changes.tolist(), strict=True))
    followed: list[Parameter] = []
    state = start.state
    for i, (parameter, change) in enumerate(steps):
        later = [step for step in steps[i + 1 :] if step[1] and not step[0].adds and not step[0].is_apart(parameter)]
        followed.append(Followed(parameter, state, change, later) if later and not parameter.adds else parameter)
        if change:
            parameter.check(start)
            state = parameter.applied(state, change)
    return Setting(start.experiment, start.start, state), tuple(followed)


class ParameterModel:
    """The image of a simulation as a function of changes of its parameters.

    ::

        model = nb.ParameterModel(simulation, ["misset_x_deg", "cell_a"])
        model.image([0.05, 0.1])  # turned by 0.05 degrees, and then a is 0.1 Å longer

    A vector holds the changes since the start, in the order of the names and in their units: 0 is the simulation as it is.
    The changes are made one after the other; so turns about two axes are first that about the axis that is named first.
    Derivatives are those of the whole, and exact at any vector.

    Parameters
    ----------
    simulation : Simulation or Experiment
    names, pixels, device, threads, cell_system
        As of :func:`nbnumba.derive.derivatives.derivatives`.

    Attributes
    ----------
    names : tuple of str
    shapes : tuple of (int, int)
        (spixels, fpixels) of every panel.
    pixels : int
        Number of the chosen pixels.

    Raises
    ------
    ConfigError, FileError, ResourceError, DeviceError
        See :mod:`nbnumba.errors`.
    """

    def __init__(
        self,
        simulation: Simulation | Experiment,
        names: Sequence[str] | str,
        *,
        pixels: object = None,
        device: str = "auto",
        threads: int | None = None,
        cell_system: str | None = None,
    ) -> None:
        start = derivatives(simulation, names, pixels=pixels, device=device, threads=threads, cell_system=cell_system)
        self.names, self.pixels = start.names, start.pixels
        self.shapes = tuple(mask.shape for mask in start.masks)
        self._start, self._device, self._threads = start, device, threads
        self._last = (np.zeros(len(start.names)), start)

    def __repr__(self) -> str:
        """One line, for notebooks."""
        return f"<ParameterModel of {self.pixels} pixels by changes of {', '.join(self.names)}>"

    @thread_safe
    def at(self, x: object) -> Derivatives:
        """Derivatives at a vector of changes, with respect to its elements.

        Parameters
        ----------
        x : (parameters,) float64

        Raises
        ------
        ConfigError
            ``x`` is of another length or not finite, or there is no image after such a change.
        """
        changes = np.array(x, dtype=np.float64)
        if changes.shape != (len(self.names),) or not np.isfinite(changes).all():
            raise ConfigError(
                f"give a finite change for each of {', '.join(self.names)}, got {np.array2string(changes, threshold=9)}"
            )
        set_threads(self._threads)  # each Python thread has its own number
        kept, found = self._last
        if not np.array_equal(kept, changes):
            setting, followed = compose(self._start.setting, self._start.parameters, changes)
            found = Derivatives(setting, followed, self._start.masks, self._device)
            self._last = (changes, found)
        return found

    def forget(self) -> None:
        """Free the memory of images and derivatives that have been computed so far."""
        self._start.forget()
        self._last = (np.zeros(len(self.names)), self._start)

    def images(self, x: object) -> tuple[np.ndarray, ...]:
        """Photons of every panel, (spixels, fpixels) float64; 0 in pixels that are not chosen."""
        return self.at(x).render()

    def image(self, x: object) -> np.ndarray:
        """Photons of the first panel."""
        return self.images(x)[0]

    def gradient(self, x: object, weights: object) -> np.ndarray:
        """Derivatives of the sum of all pixels times ``weights``, (parameters,): see :meth:`Derivatives.gradient`."""
        return self.at(x).gradient(weights)

    def value_and_jacobian(self, x: object) -> tuple[np.ndarray, np.ndarray]:
        """Photons of the chosen pixels, (pixels,), and their derivatives, (pixels, parameters).

        In the order of panels, rows and columns.
        """
        found = self.at(x).table()
        return found[:, 0], found[:, 1:]
