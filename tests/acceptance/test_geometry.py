"""Acceptance tests of the detector's geometry: AT-GEO-001 to AT-GEO-006."""

from __future__ import annotations

import numpy as np
import pytest

from nbnumba.io.smv import read_smv
from tests.acceptance.programs import CUBIC, factors, facts, run, turned
from tests.cli.test_golden import header_keys

TILTED = "-detector_rotx 5 -detector_roty 3 -detector_rotz 2"


def test_geo_001_corner_of_a_mosflm_detector(figure):
    found = facts(f"{CUBIC} -mosflm -detpixels 1024 -Xbeam 51.2 -Ybeam 51.2")
    off = np.abs(np.subtract(found["pix0_m"], [0.1, 0.05125, -0.05125])).max()
    figure("AT-GEO-001", f"{off:.1g} m off")
    assert off <= 1e-9


def test_geo_002_pivot(figure):
    """The convention sets the pivot after all flags; where there is none (CUSTOM), the last flag counts."""
    expected = {
        "-mosflm -distance 100": "beam",
        "-mosflm -close_distance 100": "beam",
        "-mosflm -distance 100 -pivot sample": "beam",
        "-spindle_axis 0 0 1 -close_distance 100": "sample",
        "-spindle_axis 0 0 1 -distance 100 -pivot sample": "sample",
        "-spindle_axis 0 0 1 -pivot sample -distance 100": "beam",
    }
    cell = "-cell 100 100 100 90 90 90 -default_F 100 -detpixels 64"
    found = {flags: facts(f"{cell} {flags}")["pivot"] for flags in expected}
    a, b, c, *_ = found.values()
    figure("AT-GEO-002", f"A {a}, B {b}, C {c}")
    assert found == expected


def test_geo_003_distance_and_beam_centre(figure):
    """The cosine of the distance leaves the two-theta swing out; a beam pivot keeps the spot, a sample pivot moves it."""
    base = "-cell 100 100 100 90 90 90 -default_F 100 -detpixels 256 -close_distance 90"
    given = 12.85 + 0.05, 14.0 + 0.05  # MOSFLM: half a pixel is added; Y is fast, X slow
    off = {}
    for name, flags in {
        "tilts": f"-mosflm {TILTED}",
        "swing": f"-mosflm {TILTED} -twotheta 10",
        "sample": f"-denzo -pivot sample {TILTED}",
    }.items():
        found = facts(f"{base} -Ybeam 12.85 -Xbeam 14 {flags}")
        axes = np.array([found["fdet_vector"], found["sdet_vector"], found["odet_vector"]])
        beam, pix0 = np.array(found["beam_vector"]), np.array(found["pix0_m"])
        ratio = found["close_distance_m"] / found["distance_m"]
        tilted = facts(f"{base} {TILTED}")["odet_vector"]
        assert ratio == pytest.approx(beam @ tilted, rel=1e-12)  # of the normal before the swing
        reported = np.array([found["Fbeam_m"], found["Sbeam_m"]])
        assert reported == pytest.approx(axes[:2] @ (found["distance_m"] * beam - pix0), abs=1e-12)
        truly = axes[:2] @ (found["close_distance_m"] / (beam @ axes[2]) * beam - pix0)
        wanted = np.array(given) * 1e-3 - (0.05e-3 if name == "sample" else 0)  # DENZO adds nothing
        off[name] = np.abs(reported - wanted).max(), np.abs(truly - wanted).max()
    assert max(off["tilts"]) < 1e-12 and off["swing"][1] < 1e-12 and off["swing"][0] > 1e-5
    custom = f"{base} -spindle_axis 0 0 1 -Xclose 12.8 -Yclose 14"
    before, after = facts(custom), facts(f"{custom} {TILTED}")
    moved = np.hypot(after["Fbeam_m"] - before["Fbeam_m"], after["Sbeam_m"] - before["Sbeam_m"])
    assert after["pivot"] == "sample" and moved > 1e-3
    figure(
        "AT-GEO-003",
        f"spot off by {off['tilts'][0] * 1e3:.0e} mm with tilts; with two-theta by {off['swing'][1] * 1e3:.0e} mm, "
        f"reported {off['swing'][0] * 1e3:.2g} mm off; a sample pivot moves it {moved * 1e3:.2g} mm",
    )


@pytest.mark.parametrize(
    ("convention", "axis"), [("mosflm", (0, 0, -1)), ("xds", (1, 0, 0)), ("dials", (0, 1, 0))], ids=str
)
def test_geo_004_twotheta_axis(convention, axis, figure):
    record = run(f"{CUBIC} -detpixels 16 -{convention} -twotheta 7")
    rest = facts(f"{CUBIC} -detpixels 16 -{convention}")
    off = max(
        np.abs(turned(np.array(rest[name]), np.array(axis), np.deg2rad(7)) - record["facts"][name]).max()
        for name in ("fdet_vector", "sdet_vector", "odet_vector")
    )
    reported = float(header_keys(read_smv("int.img").header_text)["TWOTHETA"])
    figure("AT-GEO-004", f"{convention}: axes {off:.0e} off, TWOTHETA={reported:g}")
    assert off < 1e-12 and reported == 7


def test_geo_005_curved_detector(figure):
    """All pixels at the distance; the angles are laboratory y and z, about the slow and the fast axis."""
    flags = f"{CUBIC} -detpixels 64 -mosflm"
    pixels = [(0, 0), (5, 50), (40, 10), (63, 63)]
    lengths, off, other = [], 0.0, 0.0
    for flat, curved in zip(factors(flags, *pixels), factors(f"{flags} -curved_det", *pixels), strict=True):
        lengths.append(curved["airpath"])
        corner = flat["pix0_vector_meters"]
        along = {
            "laboratory": flat["pixel_pos_meters"][1:],
            "detector": [(flat["pixel_pos_meters"] - corner) @ flat[axis] for axis in ("sdet_vec", "fdet_vec")],
        }
        place = {}
        for name, (first, second) in along.items():
            swung = turned(0.1 * flat["incident_vec"], flat["sdet_vec"], first / 0.1)
            place[name] = turned(swung, flat["fdet_vec"], second / 0.1) - curved["pixel_pos_meters"]
        off = max(off, np.abs(place["laboratory"]).max())
        other = max(other, np.abs(place["detector"]).max())
    figure("AT-GEO-005", f"distances {np.ptp(lengths):.0e} m apart; the text's angles {other * 1e3:.1f} mm off")
    assert np.ptp(lengths) < 1e-15 and lengths[0] == pytest.approx(0.1, rel=1e-14)
    assert off < 1e-15 < other


def test_geo_006_solid_angle_of_a_pixel(figure):
    flags, off = f"{CUBIC} -detpixels 512 {TILTED}", 0.0
    pixels = [(3, 500), (255, 255), (400, 7)]
    for full, point in zip(factors(flags, *pixels), factors(f"{flags} -point_pixel", *pixels), strict=True):
        R, close = full["airpath"], full["close_distance_meters"]
        off = max(off, abs(full["omega_pixel"] / (1e-8 / R**2 * close / R) - 1), abs(point["omega_pixel"] * R**2 - 1))
    figure("AT-GEO-006", f"{off:.0e} of the solid angle off")
    assert off < 1e-13
