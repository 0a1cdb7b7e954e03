"""Geometry files and flags together: which one counts, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba.errors import ConfigError, FileError, UsageError
from nbnumba.model.config import Panel
from nbnumba.model.experiment import resolve
from nbnumba.model.geometry_files import cell_of, geometry_kind, orientation, read_geometry, whole_image
from tests.geometry_inputs import (
    CELL,
    PANELS,
    an_experiment,
    direct_vectors,
    from_flags,
    write,
)


def test_flags_beat_the_file(tmp_path):
    path = write(tmp_path / "a.expt", an_experiment(detector={"panels": PANELS[:1]}))
    plain = from_flags(f"--geometry {path} -default_F 1")
    assert plain.detector.panels[0].name == "a"
    other = from_flags(f"-lambda 1.5 -osc 2 -beam_vector 0 0.1 -1 -polar 0 --geometry {path} -default_F 1")
    assert other.beam.wavelength_A == 1.5
    assert other.beam.kahn_factor == 0
    assert (other.scan.phi_deg, other.scan.osc_deg) == (10, 2)
    assert other.detector.beam_vector == (0, 0.1, -1)
    np.testing.assert_allclose(resolve(other).crystal.direct, direct_vectors(), atol=1e-9)


def test_a_spectrum_beats_the_wavelength_of_the_file(tmp_path):
    """And the crystal stays as it is, although its matrix holds the wavelength."""
    path, spectrum = write(tmp_path / "a.expt", an_experiment()), tmp_path / "s.txt"
    spectrum.write_text("1.2 1\n1.3 1\n")
    simulation = from_flags(f"--geometry {path} -default_F 1 --spectrum {spectrum}")
    assert simulation.beam.wavelength_A == pytest.approx(1.25)
    np.testing.assert_allclose(resolve(simulation).crystal.direct, direct_vectors(), atol=1e-9)
    assert from_flags(f"--geometry {path} -default_F 1 --spectrum {spectrum} -lambda 1").beam.wavelength_A == 1


@settings(max_examples=25)
@given(st.integers(0, 3), st.booleans())
def test_a_moved_panel_starts_where_the_file_has_it(tmp_path_factory, which, near):
    """Setting the distance that the panel has anyway changes nothing; another one moves it along beam or normal."""
    path = write(tmp_path_factory.mktemp("g") / "a.expt", an_experiment(detector={"panels": [PANELS[which]]}))
    still = resolve(from_flags(f"--geometry {path} -default_F 1"))
    panel = still.panel
    flag, distance = ("-close_distance", panel.close_distance) if near else ("-distance", panel.distance)
    same = resolve(from_flags(f"--geometry {path} {flag} {distance * 1000!r} -default_F 1")).panel
    np.testing.assert_allclose(same.pix0, panel.pix0, atol=1e-15)
    np.testing.assert_allclose(np.array([same.fdet, same.sdet]), [panel.fdet, panel.sdet], atol=1e-15)
    moved = resolve(from_flags(f"--geometry {path} {flag} {distance * 1000 + 5!r} -default_F 1")).panel
    along = panel.odet if near else still.detector.frame.beam
    np.testing.assert_allclose(moved.pix0 - panel.pix0, 0.005 * along, atol=1e-12)


def test_flags_that_contradict_the_file(tmp_path):
    path = write(tmp_path / "a.expt", an_experiment())
    with pytest.raises(ConfigError, match=r"distance_mm cannot be set: .* has 4 panels.*\(from -distance\)"):
        from_flags(f"--geometry {path} -distance 100")
    with pytest.raises(UsageError, match="-mosflm contradicts --geometry"):
        from_flags(f"--geometry {path} -mosflm")
    with pytest.raises(UsageError, match="give --geometry FILE"):
        from_flags("-cell 10 --geometry-image 3")


def test_cell_flag_keeps_the_orientation(tmp_path):
    path = write(tmp_path / "a.expt", an_experiment())
    same = resolve(from_flags(f"--geometry {path} -default_F 1 -cell {' '.join(map(str, CELL))}"))
    np.testing.assert_allclose(same.crystal.direct, direct_vectors(), atol=1e-9)
    other = resolve(from_flags(f"--geometry {path} -default_F 1 -cell 30 40 50 90 100 110"))
    np.testing.assert_allclose(other.crystal.unit_cell, (30, 40, 50, 90, 100, 110), rtol=1e-9)
    # a keeps its direction, and b its plane
    np.testing.assert_allclose(np.cross(other.crystal.direct[0], direct_vectors()[0]), 0, atol=1e-9)
    assert np.linalg.det(np.array([*direct_vectors()[:2], other.crystal.direct[1]])) == pytest.approx(0, abs=1e-9)
    assert cell_of(read_geometry(path).reciprocal) == pytest.approx(CELL)
    assert orientation(replace(read_geometry(path), reciprocal=None), 1.0) is None


def test_whole_image_refuses_overlap():
    panel = Panel(pix0_mm=(0, 0, 9), fast_axis=(1, 0, 0), slow_axis=(0, 1, 0), spixels=2, fpixels=3, pixel_mm=1)
    image = np.ones((2, 3), np.float32)
    stacked = whole_image([panel, panel], [image, 2 * image])
    np.testing.assert_array_equal(stacked, [[1] * 3] * 2 + [[2] * 3] * 2)
    with pytest.raises(ConfigError, match="overlaps"):
        whole_image([replace(panel, offset=(0, 0)), replace(panel, offset=(2, 1))], [image, image])


def test_unknown_files(tmp_path):
    path = tmp_path / "x.geo"
    path.write_text("hello world\n")
    with pytest.raises(FileError, match=r"x\.geo is no known geometry file"):
        geometry_kind(path)
    with pytest.raises(FileError, match="cannot read the geometry file"):
        geometry_kind(tmp_path / "none")
