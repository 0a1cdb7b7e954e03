"""Images as JAX arrays, and refinement with JAX."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import nbnumba as nb
from tests.derive.composed import draw, experiment, two_panels
from tests.derive.refined import NAMES, START, still

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install 'nbnumba[jax]'")
check_grads = pytest.importorskip("jax.test_util").check_grads
Image = pytest.importorskip("nbnumba.jax").Image
SMALL = ["misset_y_deg", "misset_x_deg", "cell_beta", "cell_a", "N_ab", "mosaic_spread_deg", "scale", "distance_mm"]


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    """For these tests alone."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("far", [0, 1])
def test_check_grads(far):
    """Of changes in units of a few per cent of the image, of pixels in units of the brightest."""
    image, sizes = Image(experiment(), SMALL), np.abs(draw(SMALL, seed=0))
    brightest = float(image(0 * sizes).max())
    x = jax.numpy.asarray(far * draw(SMALL, seed=1) / sizes)
    check_grads(lambda x: image(x * sizes) / brightest, (x,), 1, modes=["rev"], eps=1e-4, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_value_and_gradient(compiled):
    image, x = Image(experiment(), SMALL), draw(SMALL, seed=2)
    weights = np.random.default_rng(3).normal(size=(40, 48))

    def loss(x):
        return (image(x) * weights).sum()

    slope = jax.jit(jax.grad(loss)) if compiled else jax.grad(loss)
    assert image(x).shape == (40, 48) and image(x).dtype == np.float64
    assert np.array_equal(image(x), image.model.image(x))
    assert np.array_equal(slope(jax.numpy.asarray(x)), image.model.gradient(x, weights))


def test_two_panels_are_two_arrays():
    image = Image(two_panels(), ["distance_mm", "panel_fast_mm[1]"])
    low, high = image(np.zeros(2))
    assert low.shape == high.shape == (24, 20)
    slope = jax.grad(lambda x: image(x)[0].sum())(jax.numpy.zeros(2))
    assert np.array_equal(slope, image.model.gradient(np.zeros(2), [np.ones((24, 20)), np.zeros((24, 20))]))
    assert slope[0] != 0 and slope[1] == 0


def test_jacobian_and_batches():
    box = np.array([[14, 18, 20, 24]])
    image, x = Image(experiment(), SMALL, pixels=box), draw(SMALL, seed=4)
    expected = image.model.value_and_jacobian(x)[1].reshape(4, 4, len(SMALL))
    found = np.asarray(jax.jacrev(lambda x: image(x)[14:18, 20:24])(jax.numpy.asarray(x)))
    assert np.abs(found - expected).max() < 1e-13 * np.abs(expected).max()  # the order of sums
    both = jax.vmap(image)(jax.numpy.stack([x, 0 * x]))
    assert np.array_equal(both[0], image(x)) and np.array_equal(both[1], image(0 * x))


def test_second_derivatives_are_refused():
    image = Image(experiment(), "scale, cell_a")
    slope = jax.grad(lambda x: (image(x) ** 2).sum())
    with pytest.raises(nb.ConfigError, match="first derivatives in JAX, no second ones"):
        jax.grad(lambda x: slope(x).sum())(jax.numpy.zeros(2))
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(image, (jax.numpy.zeros(2),), (jax.numpy.ones(2),))


def test_what_is_refused():
    image = Image(experiment(), "scale, cell_a")
    with pytest.raises(nb.ConfigError, match=r"give a change for each of scale, cell_a, got an array of shape \(3,\)"):
        image(np.zeros(3))
    assert repr(image) == "<Image of 1920 pixels by changes of scale, cell_a, for JAX>"
    jax.config.update("jax_enable_x64", False)
    for call in (lambda: Image(experiment(), "scale"), lambda: image(np.zeros(2))):
        with pytest.raises(nb.ConfigError, match=r"float64: call jax.config.update\('jax_enable_x64', True\)"):
            call()


def test_one_thread_of_jax_does_not_wait_for_itself():
    """A callback that waits for a copy of the weights waits for ever where the only thread runs it."""
    code = """
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from nbnumba.jax import Image
from tests.derive.refined import still
image = Image(still(), "misset_x_deg")
loss = lambda x: (image(x) ** 2).sum()
compiled, plain = jax.jit(jax.value_and_grad(loss)), jax.value_and_grad(loss)
for i in range(60):
    (compiled if i % 2 else plain)(jax.numpy.full(1, 1e-4 * i))
"""
    environment = {**os.environ, "NPROC": "1"}  # threads of JAX's pool
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_misset_is_refined_back():
    """By JAX's BFGS, from 0.05 degrees to less than 0.001."""
    from jax.scipy.optimize import minimize

    image = Image(still(), NAMES)
    data = image(np.zeros(3))

    def loss(x):
        return ((image(x / 100) - data) ** 2).sum() / (data**2).sum()

    done = minimize(loss, 100 * jax.numpy.asarray(START), method="BFGS", options={"maxiter": 60})
    assert np.linalg.norm(START) > 0.049 and np.linalg.norm(done.x / 100) < 1e-3
