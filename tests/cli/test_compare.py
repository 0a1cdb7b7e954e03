"""The words of ``nbnumba compare``: flags in the wrong place, and options behind one dash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli.main import main


@pytest.mark.parametrize("own", [[], ["--roi", "0", "1", "0", "1"], ["--mask", "m.img", "--keep"]])
def test_flags_before_the_two_dashes(own: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--against", "nanoBragg", *own, "-hkl", "a.hkl", "-N", "5"]) == 2
    assert "the flags of the simulation come after '--': --against EXECUTABLE -- -hkl ..." in capsys.readouterr().err


def test_options_take_one_dash_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(tmp_path / "a.npy", image)
    image[2, 3] += 100
    np.save(tmp_path / "b.npy", image)
    words = [str(tmp_path / "a.npy"), str(tmp_path / "b.npy"), "--out", str(tmp_path), "--no-picture"]
    assert main(["compare", *words]) == 1
    assert main(["compare", *words, "-roi", "0", "2", "0", "1"]) == 0
    assert "pixels compared:             6 of 12" in capsys.readouterr().out
