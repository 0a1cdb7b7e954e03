"""Traces in the order and spelling of an instrumented build of the C program."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.cli.trace_flags import parse_trace
from nbnumba.errors import UsageError
from nbnumba.inspect.trace import trace
from nbnumba.model.experiment import resolve
from nbnumba.render.simulate import simulate
from tests.inspect.test_trace import FLAGS, run


def test_order_of_the_c_program(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Keys, order and units of an instrumented C program; the numbers are those of the other order."""
    log, record = tmp_path / "c.log", tmp_path / "trace.json"
    assert run("5", "7", *FLAGS, "--order", "c", "--out", str(log), "--json", str(record)) == 0
    assert "TRACE" not in capsys.readouterr().out
    lines = log.read_text().splitlines()
    keys = [re.sub(r"^TRACE_C(: |_PHI )", "", line).split()[0] for line in lines]
    assert (
        keys
        == """
    pix0_vector_meters fdet_vec sdet_vec pixel_pos_meters R_distance_meters omega_pixel_sr close_distance_meters
    obliquity_factor diffracted_vec incident_vec lambda_meters lambda_angstroms scattering_vec_A_inv rot_a_angstroms
    rot_b_angstroms rot_c_angstroms rot_a_star_A_inv rot_b_star_A_inv rot_c_star_A_inv hkl_frac hkl_rounded F_latt_a F_latt_b
    F_latt_c F_latt phi_tic=0 F_cell phi_tic=1 phi_tic=2 I_before_scaling r_e_meters r_e_sqr fluence_photons_per_m2 steps
    oversample_thick oversample_polar oversample_omega capture_fraction polar omega_pixel cos_2theta I_pixel_final
    floatimage_accumulated
    """.split()
    )
    phi = next(line for line in lines if "phi_tic=1" in line)
    assert re.findall(r"(\w+)=", phi) == ["phi_tic", "phi_deg", "k_frac", "F_latt_b", "F_latt"]
    factors = json.loads(record.read_text())["pixels"][0]["factors"]
    said = dict(line.removeprefix("TRACE_C: ").split(" ", 1) for line in lines if line.startswith("TRACE_C: "))
    assert [float(x) for x in said["scattering_vec_A_inv"].split()] == pytest.approx(factors["scattering_vec_m_inv"])
    assert float(said["I_pixel_final"]) == pytest.approx(factors["I_pixel_final"], rel=1e-14)
    direct = np.array([factors[f"misset_{v}_angstroms"] for v in "abc"])
    stars = np.array([[float(x) for x in said[f"rot_{v}_star_A_inv"].split()] for v in "abc"])
    np.testing.assert_allclose(direct @ stars.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("pixel", [(0, 0), (0, 1), (5, 7)])
def test_the_released_program_begins_with_another_cell(pixel: tuple[int, int], tmp_path: Path, monkeypatch) -> None:
    """Traces of the first pixel and of others are those of the image's pixels."""
    monkeypatch.chdir(tmp_path)
    case = "-cell 30 40 50 -misset 10 20 30 -default_F 100 -N 5 -oversample 1 -distance 60 -pixel 0.5 -detpixels 20"
    simulation = build(parse([*case.split(), "-osc", "2", "-phisteps", "3", "--physics", "released"]))[0]
    experiment = resolve(simulation)
    image = simulate(experiment, device="cpu", precision="double").image
    factors = trace(experiment, [pixel], device="cpu", precision="double")[0].factors
    assert factors["floatimage_accumulated"] == image[pixel] == np.float32(factors["I_pixel_final"])
    direct = np.array([factors[f"rot_{v}_angstroms"] for v in "abc"])
    assert np.allclose(direct @ np.array(factors["scattering_vec_A_inv"]), factors["hkl_frac"], atol=1e-9)
    unrotated = np.array([factors[f"misset_{v}_angstroms"] for v in "abc"])
    assert np.allclose(direct, unrotated, atol=1e-9) == (pixel == (0, 0))


@pytest.mark.parametrize("words", [["--order", "d"], ["--order"], ["--out"]])
def test_wrong_order(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"--order|--out"):
        parse_trace(["5", "7", *FLAGS, *words])
