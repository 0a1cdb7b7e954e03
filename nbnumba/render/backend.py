"""Kinds of device as the rest of the program sees them: a backend chooses a kernel for a panel and makes its renderer."""

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
#: Called with the first row that is finished and the one behind the last.
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
        Why, in one line.
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
    """Renders one panel: its kernel is compiled and its tables are in place when this is made."""

    inputs: KernelInputs
    plan: Plan

    @abstractmethod
    def new_image(self, shape: tuple[int, int]) -> np.ndarray:
        """A float32 image that is fast to render into; zeros wherever :meth:`render` leaves pixels as they are."""

    @abstractmethod
    def render(self, image: Any, progress: Progress | None = None, on_rows: OnRows | None = None) -> bool:
        """Render into ``image`` (spixels, fpixels) float32; returns whether interpolation ended on the way.

        In the reference the first evaluation out of range, in raster order, ends interpolation for the rest of the run. What
        comes after it is rendered again without interpolation.

        Parameters
        ----------
        image
            Pixels outside the region of interest or under the mask are left as they are.
        progress : callable, optional
            Called with the share that is done; may raise to stop.
        on_rows : callable, optional
            Called with ``first, end`` when the rows ``first <= s < end`` hold their final values.
        """

    def render_on_device(
        self, image: Any, light: np.ndarray | None, progress: Progress | None = None, on_rows: OnRows | None = None
    ) -> bool:
        """As :meth:`render`, into an image in the memory of the device, and add ``light`` (spixels, fpixels) float32."""
        raise NotImplementedError("check_device_image has refused it")

    def check_device_image(self, image: Any, shape: tuple[int, int]) -> None:
        """Refuse an image that :meth:`render_on_device` cannot render into.

        Raises
        ------
        ConfigError
            It is no array on this device, or of another shape, type or layout.
        """
        raise ConfigError(
            f"out must be a NumPy array, as the CPU renders ({self.plan.reason}), got {type(image).__name__}"
        )

    @abstractmethod
    def update(self, inputs: KernelInputs, plan: Plan) -> None:
        """Render other inputs from now on, whose kernel, panel's shape and array types are those of before.

        Tables that did not change stay where they are.
        """


class Backend(ABC):
    """A device, or several of a kind that share an image.

    Attributes
    ----------
    name : str
        ``cpu``, ``cuda:0`` or ``cuda:0,1``.
    reason : str
        Why it was chosen.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason

    @abstractmethod
    def case(self, inputs: KernelInputs) -> Case:
        """A panel as the kernels of this device see it."""

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
