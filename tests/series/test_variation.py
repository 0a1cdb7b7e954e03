"""Values that differ from shot to shot: drawn from distributions, read from files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba.cli.series_flags import SERIES_FLAGS
from nbnumba.errors import ConfigError, FileError
from nbnumba.series.variation import Variation, make_variations, read_variations, vary
from tests.series.inputs import DISTRIBUTIONS, ROOT, SIMULATION


@settings(max_examples=40)
@given(seed=st.integers(0, 2**40), number=st.integers(1, 10**6))
def test_drawn_values_stay_in_bounds(seed: int, number: int) -> None:
    import tomllib

    variations = make_variations(tomllib.loads(DISTRIBUTIONS))
    drawn = vary(SIMULATION, variations, seed, number)
    assert 0.98 <= drawn.beam.wavelength_A <= 1.02
    assert 0.1 <= (drawn.crystal.mosaic_spread_deg or 0) <= 0.4 and drawn.crystal.mosaic_domains == 3
    assert drawn.crystal.Na in (4, 6, 9) and drawn.crystal.Na == drawn.crystal.Nb == drawn.crystal.Nc
    assert drawn.crystal.cell is not None
    assert drawn.crystal.cell[1] / drawn.crystal.cell[0] == pytest.approx(50 / 40, rel=1e-12)
    # a line less changes nothing else
    fewer = vary(SIMULATION, variations[1:], seed, number)
    assert replace(fewer.beam, wavelength_A=drawn.beam.wavelength_A) == drawn.beam and fewer.crystal == drawn.crystal


def test_draws_follow_their_distributions() -> None:
    def drawn(**parameters: Any) -> np.ndarray:
        kind = parameters.pop("distribution")
        variation = Variation("beam", "fluence", kind, tuple(parameters.items()))
        return np.array([variation.draw(np.random.default_rng(n)) for n in range(2000)])

    # four standard errors: sigma / sqrt(2000) is 0.022 sigma
    assert drawn(distribution="normal", mean=3.0, sigma=2.0).mean() == pytest.approx(3.0, abs=0.09 * 2)
    assert np.log(drawn(distribution="lognormal", median=5.0, sigma=0.3)).mean() == pytest.approx(np.log(5), abs=0.03)
    assert drawn(distribution="uniform", low=-1.0, high=3.0).mean() == pytest.approx(1.0, abs=0.11)
    assert (drawn(distribution="choice", values=(1.0, 2.0), weights=(1, 3)) == 2).mean() == pytest.approx(
        0.75, abs=0.04
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[beem]", r"\[beem\] is no part of a simulation; did you mean beam\?"),
        ("[beam]\nwavelenght_A = 1", "did you mean wavelength_A"),
        ('[beam]\nflux = {distribution="normal", mean=1}', "beam.flux: normal needs sigma"),
        ('[beam]\nflux = {distribution="gauss", mean=1}', "must be one of normal, lognormal, uniform, choice"),
        ('[beam]\nflux = {distribution="uniform", low=2, high=1}', "low must not be above high"),
        ('[beam]\nflux = {distribution="normal", mean=1, sgima=1}', "did you mean sigma"),
        ('[crystal]\nshape = {distribution="normal", mean=1, sigma=1}', "crystal.shape is not a number"),
        ("[beam]\nnopolar = 3", "3 is not a value of this field"),
        ("[beam\n", r"is not TOML.*line 1"),
    ],
)
def test_a_file_of_distributions_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "vary.toml").write_text(text)
    with pytest.raises(FileError, match=message) as caught:
        read_variations(tmp_path / "vary.toml")
    assert "vary.toml" in str(caught.value)


def test_files_are_chosen_by_their_whole_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    choice = make_variations({"beam": {"sourcefile": {"distribution": "choice", "values": ["a.txt"]}}})
    assert vary(SIMULATION, choice, 1, 1).beam.sourcefile == tmp_path / "a.txt"


def test_the_page_about_series(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "series.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?ms)^```toml\n(.*?)^```$", page)
    assert len(blocks) == 1
    (tmp_path / "vary.toml").write_text(blocks[0])
    assert len(read_variations(tmp_path / "vary.toml")) == 6
    known = {word for row in SERIES_FLAGS for word in row.spellings}
    used = set(re.findall(r"(?<=[`\s])--?[a-zA-Z][\w-]*", page))
    assert len(used) > 15 and used <= known, used - known


def test_values_that_no_simulation_can_use_name_the_shot() -> None:
    negative = make_variations({"beam": {"wavelength_A": {"distribution": "normal", "mean": -1.0, "sigma": 0.0}}})
    with pytest.raises(ConfigError, match=r"beam.wavelength_A must be > 0, got -1.0 \(drawn for shot 3"):
        vary(SIMULATION, negative, 1, 3)
    never = make_variations({"beam": {"flux": {"distribution": "normal", "mean": 0.0, "sigma": 1.0, "min": 99.0}}})
    with pytest.raises(ConfigError, match="none of 1000 draws"):
        vary(SIMULATION, never, 1, 3)
