"""Images as JAX arrays with a gradient.

::

    import jax
    import nbnumba.jax

    jax.config.update("jax_enable_x64", True)
    image = nbnumba.jax.Image(simulation, ["misset_x_deg", "cell_a"])
    slope = jax.grad(lambda x: ((image(x) - data) ** 2).sum())
    slope(jax.numpy.zeros(2))

Images are computed by the CPU, outside of the programs that JAX compiles. They have a gradient (``jax.grad``, ``jax.vjp``,
``jax.jacrev``, also within ``jax.jit``), but no derivatives forwards (``jax.jvp``) and no second ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbnumba.derive.adapter import ModelImage, no_second
from nbnumba.derive.model import ParameterModel
from nbnumba.errors import ConfigError, ExtraError
from nbnumba.model.config import Simulation
from nbnumba.model.experiment import Experiment

try:
    import jax
    from jax.experimental.buffer_callback import buffer_callback
except ModuleNotFoundError as error:
    raise ExtraError("nbnumba.jax needs JAX: pip install 'nbnumba[jax]'") from error


class Image(ModelImage):
    """The image of a simulation as a function of changes of its parameters, for JAX: see :class:`ModelImage`."""

    package = "JAX"

    def __init__(self, simulation: Simulation | Experiment, names: Sequence[str] | str, **options: Any) -> None:
        _require_float64()
        super().__init__(simulation, names, **options)
        self._images = _differentiable(self.model)

    def __call__(self, x: Any) -> Any:
        """Photons, an array (slow, fast) of float64; of several panels a tuple of arrays.

        Parameters
        ----------
        x : array (parameters,)
            Changes since the start, in the order of the names; computed with in float64.

        Raises
        ------
        ConfigError
            ``x`` is of another length, or second derivatives are asked for.
        """
        _require_float64()
        x = jax.numpy.asarray(x, np.float64)
        if x.shape != (len(self.names),):
            raise ConfigError(f"give a change for each of {', '.join(self.names)}, got an array of shape {x.shape}")
        found = self._images(x)
        return found[0] if len(found) == 1 else found


def _require_float64() -> None:
    if not jax.config.jax_enable_x64:
        raise ConfigError(
            "images are float64: call jax.config.update('jax_enable_x64', True) before you make any array"
        )


def _differentiable(model: ParameterModel) -> Any:
    """Function from changes to the images of all panels.

    What JAX calls back uses no JAX, and waits for nothing of it. For ``pure_callback`` JAX copies large arguments in a thread of
    its pool, of as many threads as there are cores: where all of them call back and wait for their arguments they would wait for
    ever. So on the CPU the weights, as large as an image, come as they are in memory, by ``buffer_callback``.
    """
    shapes = tuple(jax.ShapeDtypeStruct(shape, np.float64) for shape in model.shapes)
    slopes = jax.ShapeDtypeStruct((len(model.names),), np.float64)

    def render(x: Any) -> Any:
        return model.images(np.asarray(x))

    def pull_host(x: Any, weights: Any) -> Any:
        return model.gradient(np.asarray(x), [np.asarray(w) for w in weights])

    def pull_in_place(context: Any, out: Any, x: Any, weights: Any) -> None:
        np.asarray(out)[...] = pull_host(x, weights)

    def pull_elsewhere(x: Any, weights: Any) -> Any:
        return jax.pure_callback(pull_host, slopes, x, weights, vmap_method="sequential")

    pull_on_cpu = buffer_callback(pull_in_place, slopes, vmap_method="sequential")

    @jax.custom_vjp
    def images(x: Any) -> Any:
        return jax.pure_callback(render, shapes, x, vmap_method="sequential")

    @jax.custom_jvp
    def pull(x: Any, weights: Any) -> Any:
        return jax.lax.platform_dependent(x, weights, cpu=pull_on_cpu, default=pull_elsewhere)

    @pull.defjvp
    def refuse(primals: Any, tangents: Any) -> Any:
        raise no_second("JAX")

    images.defvjp(lambda x: (images(x), x), lambda x, weights: (pull(x, weights),))
    return images
