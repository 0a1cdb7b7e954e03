"""The public functions ``derivatives`` and ``gradient``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np

from nbnumba.derive.catalog import expand, find, free_lengths
from nbnumba.derive.curvatures import second_values
from nbnumba.derive.engine import GRADIENT, IMAGE, NORMAL, VALUES, Goal
from nbnumba.derive.parameter import Parameter
from nbnumba.derive.passes import make_device_pass
from nbnumba.derive.pixels import choose, per_panel
from nbnumba.derive.reflections import Contributions, StructureFactor, contributions, indices_of
from nbnumba.derive.refused import refuse_impossible
from nbnumba.derive.setting import Setting
from nbnumba.errors import ConfigError
from nbnumba.kernels.formulas.sums import SPINS, SUMS
from nbnumba.memory import require
from nbnumba.model.config import Simulation
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.render.dispatch import set_threads
from nbnumba.render.inputs import KernelInputs, build_all_inputs
from nbnumba.render.threads import thread_safe


class Derivatives:
    """Derivatives of the image of an experiment; :func:`derivatives` makes it.

    Nothing is computed before it is asked for. The images and the Jacobian are computed together and kept;
    :meth:`normal` and :meth:`gradient` need no memory for them.

    Attributes
    ----------
    experiment : Experiment
    names : tuple of str
    passes : tuple of PanelPass
        What computes each panel.
    seconds : float
        Time of the kernels so far.
    """

    def __init__(
        self,
        setting: Setting,
        parameters: Sequence[Parameter],
        chosen: Sequence[np.ndarray],
        device: str = "cpu",
        chains: np.ndarray | None = None,
    ) -> None:
        self.experiment, self.names = setting.experiment, tuple(p.name for p in parameters)
        self.parameters, self.setting, self.seconds = tuple(parameters), setting, 0.0
        self._found_chains = chains
        spins = self._make_spins()
        self._masks = tuple(chosen)
        self.passes = tuple(make_device_pass(x, spins, m, device) for x, m in zip(setting.panels, chosen, strict=True))

    def __repr__(self) -> str:
        """One line, for notebooks."""
        return f"<Derivatives of {self.pixels} pixels with respect to {', '.join(self.names)}>"

    @property
    def pixels(self) -> int:
        """Number of the pixels."""
        return sum(int(p.mask.sum()) for p in self.passes)

    @property
    def device(self) -> str:
        """Name of the device that computes: ``cpu``, ``cuda:0``."""
        return self.passes[0].device

    @property
    def masks(self) -> tuple[np.ndarray, ...]:
        """The pixels of every panel, (spixels, fpixels) bool."""
        return self._masks

    @property
    def _chains(self) -> np.ndarray:
        """As of :func:`chains_of`; images alone need none."""
        if self._found_chains is None:
            self._found_chains = chains_of(self.setting, self.parameters)
        return self._found_chains

    def _make_spins(self) -> np.ndarray | None:
        found = [(p, spins) for p in self.parameters if (spins := p.spins(self.setting)) is not None]
        if not found:
            return None
        table = np.zeros((len(self.setting.first.cells), SPINS, 3))
        for parameter, spins in found:
            table[:, parameter.place] = spins
        return table.reshape(-1, 3 * SPINS)

    @cached_property
    def _values(self) -> tuple[np.ndarray, ...]:
        """Image and derivatives of the pixels of every panel that have sums, (n, 1 + parameters)."""
        require(
            sum(len(p.pixels) for p in self.passes) * 8 * (1 + len(self.names)),
            f"derivatives of {self.pixels} pixels with respect to {len(self.names)} parameters",
            "choose fewer pixels, or use normal() and gradient()",
        )
        found = tuple(self._run(panel, VALUES) for panel in range(len(self.passes)))
        for parameter in self._reflections:
            column = 1 + self.parameters.index(parameter)
            weakened = float(self.setting.weakened(np.array([parameter.hkl]))[0])
            for values, (rows, numbers, slopes) in zip(found, self._contributions, strict=True):
                here = numbers == parameter.number(self.setting.first.cell)
                values[rows[here], column] = slopes[here] * weakened
        return found

    def forget(self) -> None:
        """Free the memory of images and derivatives that have been computed; they are computed again when asked for."""
        self.__dict__.pop("_values", None)

    @property
    def _reflections(self) -> list[StructureFactor]:
        return [parameter for parameter in self.parameters if isinstance(parameter, StructureFactor)]

    @cached_property
    def _contributions(self) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
        with self._timed():
            return tuple(contributions(one) for one in self.passes)

    @thread_safe
    def structure_factors(self, panel: int = 0) -> Contributions:
        """Derivatives with respect to the structure factors of all reflections of the list that contribute to a panel.

        Raises
        ------
        ConfigError
            Structure factors are interpolated.
        """
        cell = self.setting.first.cell
        if cell.interpolate:
            raise ConfigError("structure_factors: each pixel depends on all F around it where F is interpolated")
        rows, numbers, values = self._contributions[panel]
        here = numbers > 0
        return Contributions(self.passes[panel].pixels[rows[here]], indices_of(numbers[here], cell), values[here])

    def _run(
        self, panel: int, kind: int, weights: np.ndarray | None = None, rights: np.ndarray | None = None
    ) -> np.ndarray:
        goal = Goal(kind, self._chains[panel], weights, rights)
        with self._timed():
            return self.passes[panel].run(goal)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Block whose time is added to :attr:`seconds`."""
        start = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - start

    @thread_safe
    def render(self) -> tuple[np.ndarray, ...]:
        """As :attr:`images`, but without the derivatives, which need memory, and not kept."""
        with self._timed():
            return tuple(one.image() for one in self.passes)

    @thread_safe
    def _images(self, row: int) -> tuple[np.ndarray, ...]:
        return tuple(p.scatter(v[:, row]) for p, v in zip(self.passes, self._values, strict=True))

    @property
    def images(self) -> tuple[np.ndarray, ...]:
        """Photons of every panel, (spixels, fpixels) float64; 0 in pixels that are not chosen."""
        return self._images(0)

    @property
    def image(self) -> np.ndarray:
        """Photons of the first panel."""
        return self.images[0]

    def of(self, name: str) -> tuple[np.ndarray, ...]:
        """Images of a derivative, photons per unit of the parameter, of every panel.

        Raises
        ------
        ConfigError
            The parameter is none of :attr:`names`.
        """
        return self._images(self._row(name))

    def _row(self, name: str) -> int:
        """Where a parameter is in the values of a pixel, whose first is the image."""
        if name not in self.names:
            raise ConfigError(f"no derivative with respect to {name} was asked for, but {', '.join(self.names)}")
        return 1 + self.names.index(name)

    def __getitem__(self, name: str) -> np.ndarray:
        """Image of a derivative, of the first panel."""
        return self.of(name)[0]

    @thread_safe
    def second(self, name: str) -> tuple[np.ndarray, ...]:
        """Images of the second derivative, photons per unit^2 of the parameter, of every panel; computed in every call.

        Raises
        ------
        ConfigError
            The parameter is none of :attr:`names`, or has no second derivative; or structure factors are interpolated.
        """
        curvature = self.parameters[self._row(name) - 1].curvature(self.setting)
        with self._timed():
            return tuple(one.scatter(second_values(one, [curvature])[:, 0]) for one in self.passes)

    @thread_safe
    def jacobian(self, pixels: object = None) -> np.ndarray:
        """Derivatives of pixels, (pixels, parameters) float64, in the order of panels, rows and columns.

        Parameters
        ----------
        pixels
            As of :func:`derivatives`, among those chosen there; by default all of those.
        """
        masks = self.masks if pixels is None else choose(pixels, self.setting)
        for one, mask in zip(self.passes, masks, strict=True):
            if (mask & ~one.mask).any():
                raise ConfigError("jacobian: some of these pixels were not chosen when the derivatives were asked for")
        return self._table(masks)[:, 1:]

    @thread_safe
    def table(self) -> np.ndarray:
        """Photons of the chosen pixels and their derivatives, (pixels, 1 + parameters) float64, not to be changed.

        In the order of panels, rows and columns.
        """
        return self._table(self.masks)

    def _table(self, masks: Sequence[np.ndarray]) -> np.ndarray:
        """Image and derivatives of some of the chosen pixels, (pixels, 1 + parameters)."""
        counts = [int(np.count_nonzero(mask)) for mask in masks]
        if (
            all(len(one.pixels) == count for one, count in zip(self.passes, counts, strict=True))
            and masks is self.masks
        ):
            return self._values[0] if len(counts) == 1 else np.concatenate(self._values)
        found, first = np.zeros((sum(counts), 1 + len(self.names))), 0
        for one, values, mask, count in zip(self.passes, self._values, masks, counts, strict=True):
            wanted = np.flatnonzero(mask)
            have = one.pixels[:, 0].astype(np.int64) * mask.shape[1] + one.pixels[:, 1]
            at = np.minimum(np.searchsorted(wanted, have), max(count - 1, 0))
            here = wanted[at] == have if count else np.zeros(len(have), bool)
            found[first + at[here]] = values[here]
            first += count
        return found

    @thread_safe
    def normal(self, weights: object = None, residuals: object = None) -> tuple[np.ndarray, np.ndarray]:
        """Normal matrix and right side of a linear least-squares problem: J^T W J, and J^T W r.

        Added up block by block: no Jacobian is held in memory.

        Parameters
        ----------
        weights, residuals : (spixels, fpixels) float64, or one for each panel
            Weight of a pixel's square, and its residual (data less model). By default 1, and 0.

        Returns
        -------
        matrix : (parameters, parameters) float64
        right : (parameters,) float64
        """
        n = len(self.names)
        given = [per_panel(v, self.setting, name) for v, name in ((weights, "weights"), (residuals, "residuals"))]
        matrix, right = np.zeros((n, n)), np.zeros(n)
        for panel, one in enumerate(self.passes):
            weight = np.ones(self.masks[panel].shape) if given[0] is None else given[0][panel]
            side = np.zeros(weight.shape) if given[1] is None else weight * given[1][panel]
            if self._reflections:
                J = self._values[panel][:, 1:]
                matrix += J.T @ (one.gather(weight)[:, None] * J)
                right += J.T @ one.gather(side)
                continue
            total = self._run(panel, NORMAL, weight, side)
            at = 0
            for k in range(n):
                right[k] += total[at]
                matrix[k, : k + 1] += total[at + 1 : at + 2 + k]
                matrix[:k, k] = matrix[k, :k]
                at += 2 + k
        return matrix, right

    @thread_safe
    def gradient(self, weights: object) -> np.ndarray:
        """Derivatives of the sum of all pixels times ``weights``, in the order of the names.

        Parameters
        ----------
        weights : (spixels, fpixels) float64, or one for each panel
            Derivative of a number with respect to every pixel: the reverse mode of automatic differentiation.
        """
        given = per_panel(weights, self.setting, "weights")
        if given is None:
            raise ConfigError("gradient: weights are needed, the derivative of the loss with respect to each pixel")
        total = np.zeros(len(self.names))
        for panel in range(len(self.passes)):
            sums = self._run(panel, GRADIENT, given[panel])
            total += self._chains[panel, 1:] @ sums
        for parameter in self._reflections:
            column = self.parameters.index(parameter)
            for one, values, weight in zip(self.passes, self._values, given, strict=True):
                total[column] += one.gather(weight) @ values[:, 1 + column]
        return total


def chains_of(setting: Setting, parameters: Sequence[Parameter]) -> np.ndarray:
    """From sums to image and derivatives, (panels, 1 + parameters, SUMS).

    Raises
    ------
    ConfigError
        The image has no derivative with respect to a parameter.
    """
    chains = np.zeros((len(setting.panels), 1 + len(parameters), SUMS))
    chains[:, 0] = IMAGE
    for row, parameter in enumerate(parameters, 1):
        chains[:, row] = parameter.chain(setting)
    return chains


def take(
    experiment: Experiment,
    panels: Sequence[KernelInputs],
    names: Sequence[str] | str,
    pixels: object = None,
    cell_system: str | None = None,
    device: str = "cpu",
) -> Derivatives:
    """:class:`Derivatives` of an experiment whose kernel arguments exist.

    Raises
    ------
    ConfigError
        There is no such parameter, the image has no such derivative, or the pixels are none of the detector.
    """
    free_lengths(cell_system)  # refuses another one, also where no length is asked for
    setting = Setting(experiment, tuple(panels))
    parameters = [find(name, experiment, cell_system) for name in expand(names)]
    refuse_impossible(setting, parameters)
    chains = chains_of(setting, parameters)
    return Derivatives(setting, parameters, choose(pixels, setting), device, chains)


@thread_safe
def derivatives(
    simulation: Simulation | Experiment,
    names: Sequence[str] | str,
    *,
    pixels: object = None,
    device: str = "auto",
    threads: int | None = None,
    cell_system: str | None = None,
) -> Derivatives:
    """Derivatives of the image of a simulation with respect to parameters.

    ::

        d = nb.derivatives(simulation, ["misset_x_deg", "cell_a", "scale"])
        d.image, d["cell_a"]  # photons, photons per Å: (slow, fast) float64
        matrix, right = d.normal(weights, data - d.image)

    They are exact: analytic, float64 throughout.

    Parameters
    ----------
    simulation : Simulation or Experiment
    names : sequence of str, or str with commas
        Of docs/derivatives.md.
    pixels : (spixels, fpixels) bool, (n, 4) int, or a sequence of either for each panel, optional
        Pixels to take: a mask, or boxes of first and end of the slow and of the fast index. By default all.
    device : {"auto", "cpu", "cuda", "cuda:N"}
        ``auto``: a GPU if there is one, and the CPU in its place if it fails. Of several GPUs the first one is used.
    threads : int, optional
        CPU threads; by default as many as the process may run on.
    cell_system : str, optional
        Crystal system: equal lengths and angles then change together (``triclinic``: all are free).

    Returns
    -------
    Derivatives

    Raises
    ------
    ConfigError, FileError, ResourceError, DeviceError
        See :mod:`nbnumba.errors`.
    """
    experiment = simulation if isinstance(simulation, Experiment) else resolve(simulation)
    set_threads(threads)
    return take(experiment, build_all_inputs(experiment), names, pixels, cell_system, device)


def gradient(
    simulation: Simulation | Experiment,
    names: Sequence[str] | str,
    weights: object,
    *,
    device: str = "auto",
    threads: int | None = None,
    cell_system: str | None = None,
) -> np.ndarray:
    """Gradient of a number that depends on the image, in the order of the names: the reverse mode.

    Parameters
    ----------
    weights : (spixels, fpixels) float64, or one for each panel
        Derivative of the number with respect to each pixel.
    simulation, names, device, threads, cell_system
        As of :func:`derivatives`.

    Raises
    ------
    ConfigError, FileError, ResourceError, DeviceError
        See :mod:`nbnumba.errors`.
    """
    found = derivatives(simulation, names, device=device, threads=threads, cell_system=cell_system)
    return found.gradient(weights)
