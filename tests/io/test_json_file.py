"""Records as JSON: what JSON does not know, and names that are no text."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np

from nbnumba.io.json_file import json_text, write_json


def test_json_holds_plain_finite_values(tmp_path: Path) -> None:
    content = {"a": np.float32(0.5), "b": np.array([1, 2]), "c": (math.nan, math.inf), "d": Path("x"), "e": True}
    write_json(tmp_path / "a.json", content)
    read = json.loads((tmp_path / "a.json").read_text())
    assert read == {"a": 0.5, "b": [1, 2], "c": [None, None], "d": "x", "e": True}
    assert json.loads(json_text(content)) == read


def test_a_name_of_any_bytes_can_be_written(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"file": os.fsdecode(b"caf\xe9.hkl")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"file": "caf\udce9.hkl"}
