"""The public renderer: one image after another, with tables, kernels and buffers that are kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from nbnumba.errors import ConfigError, DeviceError
from nbnumba.memory import require
from nbnumba.model.config import Simulation
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.render.backend import OnRows, PanelRenderer, Plan, Progress
from nbnumba.render.background import background_images
from nbnumba.render.dispatch import fall_back, find_backend, set_threads
from nbnumba.render.first_pixel import first_pixel
from nbnumba.render.inputs import KernelInputs, build_all_inputs
from nbnumba.render.threads import thread_safe

if TYPE_CHECKING:
    from nbnumba.derive.derivatives import Derivatives

#: Bytes per pixel of a run's images: float, integer, PGM.
BYTES_PER_PIXEL = 8
#: Called with the number of the panel, its first finished row, and the row after the last one.
OnPanelRows = Callable[[int, int, int], None]


class Renderer:
    """Renders the image of a simulation, and of others that differ from it in some values.

    ::

        renderer = nb.Renderer(simulation)
        image = renderer.render()
        for angle in range(10):
            renderer.update(misset_deg=(0, 0, angle))
            renderer.render(out=image)  # no file is read, no table copied, no image allocated

    The constructor compiles the kernels, or loads them from the disk, and makes the tables.

    Parameters
    ----------
    simulation : Simulation or Experiment
    device : {"auto", "cpu", "cuda", "cuda:N", "cuda:N,M", "cuda:all"}
    precision : {"auto", "double", "mixed"}
        As in :func:`nbnumba.simulate`.
    threads : int, optional
        CPU threads; by default as many as the process may run on.
    kernel : str, optional
        Row of the plan table to use (docs/design.md); by default the fastest one within its error bound.

    Attributes
    ----------
    experiment : Experiment
        The experiment that is rendered.
    threads : int
    warnings : tuple of str
        Warnings of the experiment, and failures of a GPU that the CPU has replaced.
    interpolation_ended : bool
        Whether the reference would have switched interpolation off in the latest image.

    Raises
    ------
    ConfigError, FileError, ResourceError, DeviceError
        See :mod:`nbnumba.errors`.
    """

    @thread_safe
    def __init__(
        self,
        simulation: Simulation | Experiment,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        kernel: str | None = None,
    ) -> None:
        self.experiment = simulation if isinstance(simulation, Experiment) else resolve(simulation)
        self._device, self._precision, self._kernel = device, precision, kernel
        self._wanted_threads, self._failures = threads, list[str]()
        self._backend = find_backend(device)
        self._panels: list[PanelRenderer] = []
        self.interpolation_ended = False
        self._require_memory()
        self.threads = set_threads(threads)
        self._prepare()

    @property
    def plan(self) -> Plan:
        """Plan of the first panel: device, kernel, tile and reason."""
        return self._panels[0].plan

    @property
    def device(self) -> str:
        """Device that renders: ``cpu``, ``cuda:0``, ..."""
        return self.plan.device

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(spixels, fpixels) of every panel."""
        return tuple(panel.shape for panel in self.experiment.detector.panels)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of the experiment, and failures of a GPU that the CPU has replaced."""
        return (*self.experiment.warnings, *self._failures)

    @property
    def inputs(self) -> tuple[KernelInputs, ...]:
        """Arguments of the kernels, panel by panel."""
        return tuple(panel.inputs for panel in self._panels)

    @thread_safe
    def update(self, simulation: Simulation | Experiment | None = None, /, **changes: Any) -> None:
        """Change the experiment; everything that stays the same is kept.

        A file is not checked for changes if all fields of its part (``structure_factors``, ``beam``, ...) stay the same.

        Parameters
        ----------
        simulation : Simulation or Experiment, optional
            By default the current one.
        changes
            As in :meth:`nbnumba.Simulation.changed`: ``misset_deg=(0, 0, 5)``, ``beam=...``.

        Raises
        ------
        ConfigError, FileError, ResourceError, DeviceError
            See :mod:`nbnumba.errors`; the renderer then renders the experiment that it had.
        """
        if isinstance(simulation, Experiment):
            if changes:
                raise ConfigError("fields of an experiment cannot be changed: give a simulation, or only the changes")
            experiment = simulation
        else:
            wanted = self.experiment.simulation if simulation is None else simulation
            experiment = resolve(wanted.changed(**changes) if changes else wanted, like=self.experiment)
        before = self.experiment
        self.experiment = experiment
        try:
            if [p.shape for p in before.detector.panels] != [p.shape for p in experiment.detector.panels]:
                self._require_memory()
            self.threads = set_threads(self._wanted_threads)
            self._prepare()
        except BaseException:
            self.experiment = before
            raise

    @thread_safe
    def derivatives(
        self, names: Sequence[str] | str, *, pixels: object = None, cell_system: str | None = None
    ) -> Derivatives:
        """Derivatives of the image that is rendered, with the tables of this renderer.

        Parameters and errors as of :func:`nbnumba.derivatives`.
        """
        from nbnumba.derive.derivatives import take

        return take(self.experiment, self.inputs, names, pixels, cell_system, self._device)

    def gradient(self, names: Sequence[str] | str, weights: object, *, cell_system: str | None = None) -> np.ndarray:
        """Gradient of a number that depends on the image that is rendered; see :func:`nbnumba.gradient`."""
        return self.derivatives(names, cell_system=cell_system).gradient(weights)

    def _require_memory(self) -> None:
        """Raise ResourceError if the images do not fit into memory."""
        panels = self.experiment.detector.panels
        require(
            sum(panel.spixels * panel.fpixels for panel in panels) * BYTES_PER_PIXEL,
            f"an image of {panels[0].fpixels} x {panels[0].spixels} pixels",
            "give fewer pixels with -detpixels or larger ones with -pixel",
        )

    def _prepare(self) -> None:
        """Make the renderers of all panels; existing ones are updated if their kernels fit."""
        inputs = build_all_inputs(self.experiment)
        # before a renderer is changed, as a plan may be refused
        plans = [self._backend.plan(x, self._precision, self._kernel) for x in inputs]
        held = [(panel, panel.inputs, panel.plan) for panel in self._panels]
        try:
            self._panels = [self._panel(*x) for x in itertools.zip_longest(inputs, plans, self._panels[: len(inputs)])]
        except BaseException:
            for panel, earlier, plan in held:
                if panel.inputs is not earlier:
                    with suppress(DeviceError):  # the first error is raised
                        panel.update(earlier, plan)
            raise

    def _panel(self, inputs: KernelInputs, plan: Plan, held: PanelRenderer | None) -> PanelRenderer:
        try:
            if held is None or held.plan.device != plan.device or not _is_alike(held, inputs, plan):
                return self._backend.make(inputs, plan)
            held.update(inputs, plan)
        except DeviceError as error:
            return self._fall_back(inputs, error)
        return held

    def _fall_back(self, inputs: KernelInputs, error: DeviceError) -> PanelRenderer:
        """The CPU's renderer in place of a GPU that failed, unless the device was requested by name."""
        if self._device != "auto":
            raise error
        self._backend = find_backend("cpu")
        return fall_back(inputs, self._precision, error)

    @thread_safe
    def render(
        self,
        out: Any = None,
        on_rows: OnPanelRows | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """Render the image.

        Parameters
        ----------
        out : array, or sequence of arrays for a detector of several panels, optional
            (spixels, fpixels) float32 to render into: a NumPy array, best from :meth:`new_image`, or an array on the GPU that
            renders, of any package with ``__cuda_array_interface__`` (CuPy, PyTorch, Numba). Pixels outside the region of
            interest or under the mask keep their values. By default a new image of zeros.
        on_rows : callable, optional
            Called with ``panel, first, end`` when the rows ``first <= s < end`` of a panel have their final values. May raise
            to stop.
        progress : callable, optional
            Called with the finished fraction, 0 to 1; may raise to stop.

        Returns
        -------
        array, or tuple of arrays
            ``out``, or the new image: photons, (spixels, fpixels) float32; for several panels a tuple of arrays.

        Raises
        ------
        ConfigError
            ``out`` has another shape or type, or is not on the device that renders.
        DeviceError
            The device fails.
        """
        set_threads(self._wanted_threads)
        light = background_images(self.experiment, self.inputs)
        images = self._targets(out)
        for index, image in enumerate(images):
            self._render_panel(index, image, None if light is None else light[index], on_rows, progress)
        return images[0] if len(images) == 1 else tuple(images)

    def render_apart(self, progress: Progress | None = None) -> tuple[list[np.ndarray], tuple[np.ndarray, ...] | None]:
        """New images of Bragg scattering alone, and of the amorphous background (None: there is none)."""
        images: list[np.ndarray] = []
        for index in range(len(self._panels)):
            images.append(self._render_panel(index, None, None, None, progress))
        return images, background_images(self.experiment, self.inputs)

    def new_image(self) -> Any:
        """An image of zeros that is fast to render into: in pinned memory if a GPU renders; for several panels a tuple."""
        images = [panel.new_image(shape) for panel, shape in zip(self._panels, self.shapes, strict=True)]
        return images[0] if len(images) == 1 else tuple(images)

    def _targets(self, out: Any) -> list[Any]:
        """An image for every panel, checked."""
        number = len(self._panels)
        if out is None:
            new = self.new_image()
            return [new] if number == 1 else list(new)
        images = list(out) if isinstance(out, list | tuple) else [out]
        if len(images) != number:
            raise ConfigError(f"out must hold an array for each of the {number} panels, got {len(images)}")
        for image, panel, shape in zip(images, self._panels, self.shapes, strict=True):
            if not isinstance(image, np.ndarray):
                panel.check_device_image(image, shape)
                continue
            if image.shape != shape or image.dtype != np.float32 or not image.flags.c_contiguous:
                raise ConfigError(
                    f"out must be float32, C-contiguous and of the panel's shape {shape}, "
                    f"got {image.dtype} {image.shape}"
                )
            if not image.flags.writeable:
                raise ConfigError("out must be an array that can be written, got a read-only one")
        return images

    def _render_panel(
        self, index: int, image: Any, light: np.ndarray | None, on_rows: OnPanelRows | None, progress: Progress | None
    ) -> Any:
        """Render one panel and add ``light``; on the CPU if a GPU fails that was not requested by name."""
        number = len(self._panels)

        def share(done: float) -> None:
            if progress is not None:
                progress((index + done) / number)

        try:
            return self._render_on(self._panels[index], index, image, light, on_rows, share)
        except DeviceError as error:
            on_gpu = image is not None and not isinstance(image, np.ndarray)
            if on_gpu or self._panels[index].plan.device == "cpu":
                raise
            self._panels[index] = self._fall_back(self._panels[index].inputs, error)
            self._failures.append(f"{error}: rendered on the CPU instead")
            return self._render_on(self._panels[index], index, image, light, on_rows, share)

    def _render_on(
        self,
        panel: PanelRenderer,
        index: int,
        image: Any,
        light: np.ndarray | None,
        on_rows: OnPanelRows | None,
        progress: Progress,
    ) -> Any:
        image = panel.new_image(self.shapes[index]) if image is None else image
        block = panel.inputs.panel
        region = slice(block.f0, block.f1)
        lit = panel.inputs.mask if panel.inputs.mask.size else None
        on_host, begin = isinstance(image, np.ndarray), first_pixel(panel.inputs)

        def rows(first: int, end: int) -> None:
            if begin is not None and first <= begin.slow < end:
                added = 0.0 if on_host or light is None else float(light[begin.slow, begin.fast])
                panel.put(image, begin.slow, begin.fast, begin.value + added)
            if light is not None and on_host:
                part, more = image[first:end, region], light[first:end, region]
                np.add(part, more, out=part, where=True if lit is None else lit[first:end, region] != 0)
            if on_rows is not None:
                on_rows(index, first, end)

        tell: OnRows | None = None if light is None and on_rows is None and begin is None else rows
        ended = panel.render(image, progress, tell) if on_host else panel.render_on_device(image, light, progress, tell)
        self.interpolation_ended = ended if index == 0 else self.interpolation_ended or ended
        return image


def _is_alike(held: PanelRenderer, inputs: KernelInputs, plan: Plan) -> bool:
    """Whether the compiled kernel of a renderer, and the types of its arrays, fit other inputs."""
    before = held.inputs
    same = (
        (held.plan.kernel, plan.kernel),
        (before.crystal.shape, inputs.crystal.shape),
        (before.panel.curved, inputs.panel.curved),
        (before.panel.fpixels, inputs.panel.fpixels),
        (before.panel.layers * before.panel.oversample**2, inputs.panel.layers * inputs.panel.oversample**2),
        (before.cell.interpolate, inputs.cell.interpolate),
        (before.beam.per_term, inputs.beam.per_term),
        (before.beam.dmin > 0, inputs.beam.dmin > 0),
        (before.mask.shape, inputs.mask.shape),
    )
    return all(a == b for a, b in same)
