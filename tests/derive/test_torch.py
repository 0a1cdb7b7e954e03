"""Images as PyTorch tensors, and refinement with PyTorch's optimizers."""

from __future__ import annotations

import numpy as np
import pytest

import nbnumba as nb
from tests.derive.composed import draw, experiment, two_panels
from tests.derive.refined import NAMES, START, still

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'nbnumba[torch]'")
Image = pytest.importorskip("nbnumba.torch").Image


def changes(names: list[str], seed: int) -> torch.Tensor:
    return torch.tensor(draw(names, seed))


SMALL = ["misset_y_deg", "misset_x_deg", "cell_beta", "cell_a", "N_ab", "mosaic_spread_deg", "scale", "distance_mm"]
BOX = np.array([[14, 20, 20, 26]])


@pytest.mark.parametrize("far", [0, 1])
def test_gradcheck(far):
    """Of changes in units of a few per cent of the image, of pixels in units of the brightest."""
    image, sizes = Image(experiment(), SMALL, pixels=BOX), changes(SMALL, seed=0).abs()
    brightest = image(0 * sizes).max()
    x = (far * changes(SMALL, seed=1) / sizes).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: image(x * sizes)[14:20, 20:26] / brightest, (x,), eps=1e-4, atol=1e-8, rtol=1e-5
    )


def test_value_and_gradient():
    image, x = Image(experiment(), SMALL), changes(SMALL, seed=2).requires_grad_()
    found = image(x)
    assert found.shape == (40, 48) and found.dtype == torch.float64
    assert np.array_equal(found.detach().numpy(), image.model.image(x.detach().numpy()))
    weights = torch.from_numpy(np.random.default_rng(3).normal(size=(40, 48)))
    (found * weights).sum().backward()
    assert np.array_equal(x.grad.numpy(), image.model.gradient(x.detach().numpy(), weights.numpy()))


def test_float32_changes_have_a_float32_gradient():
    image, x = Image(experiment(), "scale"), torch.zeros(1, requires_grad=True)
    image(x).sum().backward()
    assert x.grad.dtype == torch.float32
    assert abs(x.grad.item() / image(x).sum().item() - 1) < 1e-6  # of float32


def test_two_panels_are_two_tensors():
    names = ["distance_mm", "panel_fast_mm[1]"]
    image, x = Image(two_panels(), names), torch.zeros(2, dtype=torch.float64, requires_grad=True)
    low, high = image(x)
    assert low.shape == high.shape == (24, 20)
    low.sum().backward()  # nothing of the other one
    weights = [np.ones((24, 20)), np.zeros((24, 20))]
    assert np.array_equal(x.grad.numpy(), image.model.gradient(np.zeros(2), weights))
    assert x.grad[0] != 0 and x.grad[1] == 0


def test_jacobian():
    image, x = Image(experiment(), SMALL, pixels=BOX), changes(SMALL, seed=4)
    expected = image.model.value_and_jacobian(x.numpy())[1].reshape(6, 6, len(SMALL))
    for find in (torch.autograd.functional.jacobian, lambda f, x: torch.func.jacrev(f)(x)):
        found = find(lambda x: image(x)[14:20, 20:26], x).numpy()
        assert np.abs(found - expected).max() < 1e-13 * np.abs(expected).max()  # the order of sums


def test_second_derivatives_are_refused():
    image, x = Image(experiment(), "scale, cell_a"), torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(image(x).square().sum(), x, create_graph=True)
    with pytest.raises(nb.ConfigError, match="first derivatives in PyTorch, no second ones"):
        slope.sum().backward()


def test_what_is_refused():
    image = Image(experiment(), "scale, cell_a")
    with pytest.raises(nb.ConfigError, match=r"as a tensor, got \[0.0, 0.0\]"):
        image([0.0, 0.0])
    with pytest.raises(nb.ConfigError, match="give a finite change for each of scale, cell_a"):
        image(torch.zeros(3))
    assert repr(image) == "<Image of 1920 pixels by changes of scale, cell_a, for PyTorch>"


def test_a_misset_is_refined_back():
    """By L-BFGS, from 0.05 degrees to less than 0.001."""
    image = Image(still(), NAMES)
    data = image(torch.zeros(3, dtype=torch.float64))
    x = torch.tensor(START, requires_grad=True)
    optimizer = torch.optim.LBFGS([x], lr=1e-3, max_iter=60, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = (image(x) - data).square().sum() / data.square().sum()
        found.backward()
        return found

    optimizer.step(loss)
    assert np.linalg.norm(START) > 0.049 and x.detach().norm() < 1e-3
