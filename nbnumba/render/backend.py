"""Interface of the kinds of device: a backend chooses the kernel for a panel and makes the panel's renderer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.kernel_table import TABLE, Case, Kernel, choose

Progress = Callable[[float], None]
#: Called with the first finished row and the row after the last one.
OnRows = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """How a panel is rendered.

    Attributes
    ----------
    device : str
        ``cpu``, ``cuda:0``, or ``cuda:0,1`` where several share the image.
    kernel : str
        Name of a row of the plan table (:mod:`nbnumba.render.kernel_table`): ``fast32`` (anchored float32), ``fixed``
        (phases in fixed point), ``fast64`` (float64 phases), ``spots`` (reflection by reflection), ``general`` (every flag,
        float64 throughout).
    tile : tuple of int
        Columns and rows of a tile of the fast kernels.
    reason : str
        Reason for the choice, in one line.
    """

    device: str
    kernel: str
    tile: tuple[int, int]
    reason: str

    @property
    def row(self) -> Kernel:
        """Row of the plan table."""
        return TABLE[self.kernel]

    @property
    def precision(self) -> str:
        """``mixed`` where any part of the sum is float32, else ``double``."""
        return self.row.sums


class PanelRenderer(ABC):
    """Renders one panel; the constructor compiles the kernel and makes the tables."""

    inputs: KernelInputs
    plan: Plan

    @abstractmethod
    def new_image(self, shape: tuple[int, int]) -> np.ndarray:
        """A float32 image that is fast to render into; 0 in all pixels that :meth:`render` does not set."""

    @abstractmethod
    def render(self, image: Any, progress: Progress | None = None, on_rows: OnRows | None = None) -> bool:
        """Render into ``image`` (spixels, fpixels) float32; returns whether interpolation ended.

        In the reference the first evaluation out of range, in raster order, ends interpolation for the rest of the run. The
        pixels after it are rendered again without interpolation.

        Parameters
        ----------
        image
            Pixels outside the region of interest or under the mask keep their values.
        progress : callable, optional
            Called with the finished fraction; may raise to stop.
        on_rows : callable, optional
            Called with ``first, end`` when the rows ``first <= s < end`` have their final values.
        """

    def render_on_device(
        self, image: Any, light: np.ndarray | None, progress: Progress | None = None, on_rows: OnRows | None = None
    ) -> bool:
        """As :meth:`render`, into an image in the memory of the device, and add ``light`` (spixels, fpixels) float32."""
        raise NotImplementedError("check_device_image refuses images on a device")

    def check_device_image(self, image: Any, shape: tuple[int, int]) -> None:
        """Refuse an image that :meth:`render_on_device` cannot render into.

        Raises
        ------
        ConfigError
            The image is no array on this device, or has another shape, type or layout.
        """
        raise ConfigError(
            f"out must be a NumPy array, as the CPU renders ({self.plan.reason}), got {type(image).__name__}"
        )

    def put(self, image: Any, slow: int, fast: int, value: float) -> None:
        """Set a pixel of an image that is rendered into."""
        image[slow, fast] = value

    @abstractmethod
    def update(self, inputs: KernelInputs, plan: Plan) -> None:
        """Use other inputs, with the same kernel, shape of the panel and types of arrays.

        Tables that have not changed are kept.
        """


class Backend(ABC):
    """A device, or several of a kind that share an image.

    Attributes
    ----------
    name : str
        ``cpu``, ``cuda:0`` or ``cuda:0,1``.
    reason : str
        Reason for the choice.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason

    @abstractmethod
    def case(self, inputs: KernelInputs) -> Case:
        """Properties of a panel for the kernels of this device."""

    @abstractmethod
    def make(self, inputs: KernelInputs, plan: Plan) -> PanelRenderer:
        """The renderer of one panel.

        Raises
        ------
        DeviceError
            The device fails, or has too little memory.
        """

    def plan(self, inputs: KernelInputs, precision: str = "auto", kernel: str | None = None) -> Plan:
        """Choose the kernel for one panel; see :func:`nbnumba.render.kernel_table.choose`."""
        chosen = choose(self.case(inputs), precision, kernel)
        return Plan(self.name, chosen.kernel.name, chosen.tile, f"{self.reason}; {chosen.reason}")
