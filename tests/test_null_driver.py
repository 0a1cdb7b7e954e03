"""The CUDA host side under a driver without a GPU (tests/null_driver): the driver itself, and every kernel launched."""

from __future__ import annotations

import pytest

from tests.null_driver.build import missing
from tests.null_driver.session import run

needs_driver = pytest.mark.skipif(bool(missing()), reason=missing() or "all is there")

STILL = "-cell 50 50 50 90 90 90 -default_F 1 -N 3 -detpixels 64 -distance 100 -lambda 1 -mosaic_dom 50 -mosaic 0.3"


@needs_driver
def test_a_still_is_rendered(tmp_path):
    words = ["-m", "nbnumba", "run", *STILL.split(), "--device", "cuda", "-floatfile", "a.bin", "-nonoise"]
    done = run(words, folder=tmp_path).check()
    assert "cuda:0 (Null Driver H100)" in done.err or "cuda:0" in done.err
    assert done.report.kernels() == ["render_fast"]
    assert (tmp_path / "a.bin").stat().st_size == 64 * 64 * 4
    (end,) = done.report.exits
    assert end["launches"] == len(done.report.launches) >= 1
