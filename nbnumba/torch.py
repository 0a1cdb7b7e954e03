"""Images as PyTorch tensors with a gradient.

::

    import nbnumba.torch

    image = nbnumba.torch.Image(simulation, ["misset_x_deg", "cell_a"])
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    loss = ((image(x) - data) ** 2).sum()
    loss.backward()  # x.grad

Images are computed by the CPU: those of parameters on another device are copied to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbnumba.derive.adapter import ModelImage, no_second
from nbnumba.derive.model import ParameterModel
from nbnumba.errors import ConfigError, ExtraError

try:
    import torch
except ModuleNotFoundError as error:
    raise ExtraError("nbnumba.torch needs PyTorch: pip install 'nbnumba[torch]'") from error


class _Each(torch.autograd.Function):
    """A function of a model and tensors, one call after the other for a batch of them."""

    @classmethod
    def vmap(cls, info: Any, in_dims: Any, model: ParameterModel, *tensors: Any) -> Any:
        rows = [
            cls.apply(model, *(t if d is None else t.select(d, i) for t, d in zip(tensors, in_dims[1:], strict=True)))
            for i in range(info.batch_size)
        ]
        if isinstance(rows[0], tuple):
            return tuple(map(torch.stack, zip(*rows, strict=True))), (0,) * len(rows[0])
        return torch.stack(rows), 0


class _Render(_Each):
    """Images of a vector of changes."""

    @staticmethod
    def forward(model: ParameterModel, x: Any) -> Any:
        return tuple(torch.from_numpy(image) for image in model.images(x.detach().numpy()))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.model, x = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *weights: Any) -> Any:
        return None, _Pull.apply(ctx.model, *ctx.saved_tensors, *weights)


class _Pull(_Each):
    """Derivatives of a number, by those with respect to the pixels."""

    @staticmethod
    def forward(model: ParameterModel, x: Any, *weights: Any) -> Any:
        return torch.from_numpy(model.gradient(x.detach().numpy(), [w.detach().numpy() for w in weights]))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        return

    @staticmethod
    def backward(ctx: Any, *weights: Any) -> Any:
        raise no_second("PyTorch")


class Image(ModelImage):
    """The image of a simulation as a function of changes of its parameters, for PyTorch: see :class:`ModelImage`."""

    package = "PyTorch"

    def __call__(self, x: torch.Tensor) -> Any:
        """Photons, a tensor (slow, fast) of float64 on the device of ``x``; of several panels a tuple of tensors.

        Parameters
        ----------
        x : tensor (parameters,)
            Changes since the start, in the order of the names; computed with in float64.

        Raises
        ------
        ConfigError
            ``x`` is of another length or not finite; in the backward pass: second derivatives are asked for.
        """
        if not isinstance(x, torch.Tensor):
            raise ConfigError(f"give the changes of {', '.join(self.names)} as a tensor, got {np.asarray(x).tolist()}")
        images = _Render.apply(self.model, x.to("cpu", torch.float64))
        found = tuple(image.to(x.device) for image in images)
        return found[0] if len(found) == 1 else found
