"""The public renderer on a GPU, in numba's simulator: updates, images in the memory of the device, rows as they are done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbnumba as nb
from tests.render.gpu.test_renderer import simulate_check

SIMULATION = nb.Simulation(
    crystal=nb.Crystal(cell=(20.0, 25.0, 30.0), misset_deg=(10.0, 20.0, 30.0), Na=4, Nb=4, Nc=4),
    beam=nb.Beam(wavelength_A=1.0, fluence=1e26),
    detector=nb.Detector(distance_mm=60, fpixels=20, spixels=18, pixel_mm=1.0),
    structure_factors=nb.StructureFactors(default_F=100.0, dump=Path("no such dump")),
    sampling=nb.Sampling(oversample=1),
)
#: One after the other, so that each begins with what the last one left on the device.
CHANGES: dict[str, list[dict[str, Any]]] = {
    "fixed": [{"misset_deg": (5, 0, 0)}, {"phi_deg": 3.0}, {"wavelength_A": 1.1}],
    "fast32": [{"osc_deg": 1.0, "phisteps": 12}, {"misset_deg": (5, 0, 0)}, {"default_F": 30.0}],
    "general": [{"oversample_polar": True, "oversample": 2, "kahn_factor": 0.5}, {"misset_deg": (5, 0, 0)}],
    "spots": [
        {"shape": "gauss", "fudge": 150.0, "mosaic_spread_deg": 3.0, "mosaic_domains": 20},
        {"misset_deg": (5, 0, 0)},
        {"roi": (3, 15, 2, 12)},
    ],
    "released": [{"physics": "released", "osc_deg": 1.0, "phisteps": 3}, {"misset_deg": (5, 0, 0)}, {"air_mm": 10.0}],
    "mixed": [{"mask": np.arange(360).reshape(18, 20) % 3}, {"shape": "round"}, {"air_mm": 10.0}],
}


#: In a simulator these take most of a minute.
_LONG = ("spots", "mixed", "fast32", "fixed", "released")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in _LONG)) for name in CHANGES])
def test_updates(name: str) -> None:
    """The image of a renderer that was updated is, bit by bit, that of a new one, in either memory."""
    assert simulate_check(f"simulated_updates({name!r})", __name__) == ""


def simulated_updates(name: str) -> None:
    from nbnumba.kernels.jit.cuda import cuda

    simulation = SIMULATION.changed(**CHANGES[name][0])
    renderer = nb.Renderer(simulation, device="cuda")
    for change in [{}, *CHANGES[name][1:]]:
        simulation = simulation.changed(**change)
        renderer.update(**change)
        assert name in ("mixed", "released", renderer.plan.kernel), renderer.plan
        expected = nb.simulate(simulation, device="cuda").image
        image = renderer.render()
        assert image.max() > 0
        np.testing.assert_array_equal(image, expected)
        off = np.abs(image - nb.simulate(simulation, device="cpu").image).max()
        assert off <= 2e-6 * image.max(), (change, off)
        rows: list[tuple[int, int]] = []
        there = cuda.to_device(np.full(image.shape, -7, np.float32))
        assert renderer.render(there, on_rows=lambda panel, *ends, rows=rows: rows.append(ends)) is there
        s0, s1, f0, f1 = renderer.experiment.sampling.slices[0]
        assert sorted(s for ends in rows for s in range(*ends)) == list(range(s0, s1))
        seen = np.zeros(image.shape, bool)
        seen[s0:s1, f0:f1] = True if simulation.mask is None else simulation.mask[s0:s1, f0:f1] != 0
        np.testing.assert_array_equal(there.copy_to_host(), np.where(seen, image, -7))


def test_images_that_the_device_cannot_take_are_refused() -> None:
    assert simulate_check("simulated_refusals", __name__) == ""


def simulated_refusals() -> None:
    from nbnumba.kernels.jit.cuda import cuda

    renderer = nb.Renderer(SIMULATION, device="cuda")
    for wrong in (np.zeros((18, 21), np.float32), np.zeros((18, 20)), np.zeros((20, 18), np.float32).T):
        with pytest.raises(
            nb.ConfigError, match=r"out must be float32, C-contiguous and of the panel's shape \(18, 20\)"
        ):
            renderer.render(cuda.to_device(wrong))
    for other in ("text", 5, [1, 2]):
        with pytest.raises(nb.ConfigError, match="out must"):
            renderer.render(other)
