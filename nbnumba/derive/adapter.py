"""What images have in common as functions of other packages: see :mod:`nbnumba.torch` and :mod:`nbnumba.jax`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from nbnumba.derive.model import ParameterModel
from nbnumba.errors import ConfigError
from nbnumba.model.config import Simulation
from nbnumba.model.experiment import Experiment


class ModelImage:
    """The image of a simulation as a function of changes of its parameters, for another package.

    Parameters
    ----------
    simulation : Simulation or Experiment
    names : sequence of str, or str with commas
        Of docs/derivatives.md.
    options
        ``pixels``, ``device``, ``threads`` and ``cell_system`` of :class:`~nbnumba.derive.model.ParameterModel`.

    Attributes
    ----------
    model : ParameterModel
    names : tuple of str
    package : str
        Name of the package.

    Raises
    ------
    ConfigError, FileError, ResourceError, DeviceError
        See :mod:`nbnumba.errors`.
    """

    package: ClassVar[str]

    def __init__(self, simulation: Simulation | Experiment, names: Sequence[str] | str, **options: Any) -> None:
        self.model = ParameterModel(simulation, names, **options)
        self.names = self.model.names

    def __repr__(self) -> str:
        """One line, for notebooks."""
        return f"<Image of {self.model.pixels} pixels by changes of {', '.join(self.names)}, for {self.package}>"


def no_second(package: str) -> ConfigError:
    """Error about second derivatives that are asked for."""
    return ConfigError(
        f"an image has first derivatives in {package}, no second ones: take value_and_jacobian of nb.ParameterModel, or "
        "normal() of its derivatives, for Gauss-Newton steps"
    )
