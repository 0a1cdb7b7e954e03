"""Stills that are rendered together on a GPU are those that are rendered alone, bit by bit; in numba's simulator."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from nbnumba.errors import ConfigError
from nbnumba.kernels.jit.cuda_choice import PACKAGES
from nbnumba.render.backend import Plan
from nbnumba.render.devices import Device
from nbnumba.render.inputs import KernelInputs
from tests.campaigns.null_driver.build import missing
from tests.campaigns.null_driver.session import run
from tests.kernels.test_gpu_spots import SIZE, WIDE, make_inputs
from tests.render.gpu.test_renderer import simulate_check

DEVICE = Device(0, "simulated", (9, 0), 1 << 34, 1, 1.0)
CASES = {
    "one sub-pixel": dict(shape="gauss", I_bg=5.0),
    "sub-pixels, term by term": dict(shape="tophat", oversample=2, per_term=1, n_sources=2),
    "region": dict(shape="gauss", s0=5, f0=3, n_sources=2),
}


def make_stills(name: str, number: int = 3) -> list[KernelInputs]:
    """Stills of a case: each with the orientations of the case turned by an angle of its own, about x."""
    fields = CASES[name]
    first = make_inputs(orientations=2, **fields, **WIDE[fields["shape"]])
    stills = []
    for angle in np.linspace(0.0, 0.2, number):
        turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
        stills.append(
            replace(first, cells=np.ascontiguousarray((first.cells.reshape(-1, 3, 3) @ turn.T).reshape(-1, 9)))
        )
    return stills


def render_alone(stills: list[KernelInputs], device: Device) -> np.ndarray:
    """Images of one launch each."""
    from nbnumba.render.gpu.renderer import GpuRenderer

    images = []
    for inputs in stills:
        renderer = GpuRenderer(inputs, Plan("cuda:0", "spots", (16, 16), "simulated"), (device,))
        images.append(renderer.new_image(SIZE))
        renderer.render(images[-1])
    return np.array(images)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_together_as_alone(name: str) -> None:
    assert simulate_check(f"simulated_together({name!r})", __name__) == ""


def simulated_together(name: str) -> None:
    from nbnumba.render.gpu import spots as gpu_spots
    from nbnumba.render.gpu.stills import StillsRenderer

    stills = make_stills(name, 2)
    alone = render_alone(stills, DEVICE)
    assert all(image.max() > 0 for image in alone)
    assert not np.array_equal(alone[0], alone[1])
    usual = gpu_spots.SLOTS, gpu_spots.SPARE
    # all pairs at once; a few of them in a batch; too little room at first
    for (gpu_spots.SLOTS, gpu_spots.SPARE), times in ((usual, 1), ((100, usual[1]), 1), ((usual[0], 1e-3), 2)):
        together = StillsRenderer(stills, DEVICE)
        for _ in range(times):
            np.testing.assert_array_equal(together.render(), alone)


@pytest.mark.slow
def test_a_mask_is_every_stills() -> None:
    assert simulate_check("simulated_mask", __name__) == ""


def simulated_mask() -> None:
    from nbnumba.render.gpu.stills import StillsRenderer

    mask = (np.random.default_rng(3).random(SIZE) < 0.7).astype(np.uint8)
    stills = [replace(x, mask=mask) for x in make_stills("one sub-pixel")]
    images = StillsRenderer(stills, DEVICE).render()
    assert (images[:, mask == 0] == 0).all() and images[:, mask != 0].max() > 0
    np.testing.assert_array_equal(images, render_alone(stills, DEVICE))


def test_what_differs_in_more_is_refused() -> None:
    assert simulate_check("simulated_refusals", __name__) == ""


def simulated_refusals() -> None:
    from nbnumba.render.gpu.stills import StillsRenderer

    first, second = make_stills("one sub-pixel", 2)
    others = [
        replace(second, beam=second.beam._replace(scale=2.0)),
        replace(second, sources=second.sources * 1.01),
        replace(second, cells=second.cells[:1]),
        replace(second, Fhkl=second.Fhkl.copy()),
        replace(second, mask=np.ones(SIZE, np.uint8)),
    ]
    for other in others:
        with pytest.raises(ConfigError, match="differ in their orientations only"):
            StillsRenderer([first, other], DEVICE)
    with pytest.raises(ConfigError, match="differ in their orientations only"):
        StillsRenderer([], DEVICE)


LAUNCHED = """
    from nbnumba.render.devices import survey
    from nbnumba.render.gpu.stills import StillsRenderer
    from tests.render.gpu.test_stills import make_stills
    images = StillsRenderer(make_stills("one sub-pixel", 5), survey().devices[0]).render()
    assert images.shape[0] == 5 and not images.any()
"""


@pytest.mark.parametrize("package", [package.key for package in PACKAGES])
def test_one_launch_of_each_kernel(package: str) -> None:
    """Under the null driver: stills are the z of the grids of what paints and closes."""
    if reason := missing(package):
        pytest.skip(reason)
    report = run(LAUNCHED, package=package).check().report
    grids = [(launch.kernel, tuple(launch.grid)) for launch in report.launches]
    closed = [grid for kernel, grid in grids if "close_pixels" in kernel]
    assert [grid[2] for grid in closed] == [5, 5], grids  # once to compile, once to render
    assert sum("paint_spots" in kernel and grid[2] == 5 for kernel, grid in grids) == 2


SERIES = """
    import json
    from nbnumba.render.devices import survey
    from nbnumba.render.dispatch import make_renderer
    from nbnumba.render.gpu.stills import StillsRenderer
    from tests.campaigns.null_driver.inside import figure, stay_current
    from tests.kernels.test_gpu_spots import SIZE
    from tests.render.gpu.test_stills import make_stills

    CALLS = ("cuMemAlloc", "cuMemHostAlloc", "launches", "cuStreamSynchronize", "cuStreamWaitEvent", "cuEventSynchronize")
    stay_current()
    rows = []
    for inputs in make_stills("one sub-pixel", 4):
        start = {name: figure(name) for name in CALLS}
        renderer = make_renderer(inputs, "cuda")
        assert renderer.plan.kernel == "spots"
        image = renderer.new_image(SIZE)
        before = {name: figure(name) for name in CALLS}
        renderer.render(image)
        del image
        rows.append([{name: here[name] - there[name] for name in CALLS}
                     for there, here in ((start, before), (before, {name: figure(name) for name in CALLS}))])
    print(json.dumps(rows))
"""


@pytest.mark.parametrize("package", [package.key for package in PACKAGES])
def test_a_series_allocates_nothing_after_its_first_image(package: str) -> None:
    """But its own tables; an image is five launches, and the host waits once: for the image."""
    if reason := missing(package):
        pytest.skip(reason)
    done = run(SERIES, package=package).check()
    _, *later = json.loads(done.out.splitlines()[-1])
    for prepared, rendered in later:
        # no mask, no progress, the cells, the sources, the reciprocal cells
        assert prepared["cuMemAlloc"] <= 5 and prepared["cuMemHostAlloc"] == 0
        assert rendered["cuMemAlloc"] == rendered["cuMemHostAlloc"] == 0
        assert rendered["launches"] == 5
        assert rendered["cuStreamWaitEvent"] == 1
        assert rendered["cuStreamSynchronize"] == 0 and rendered["cuEventSynchronize"] <= 1
