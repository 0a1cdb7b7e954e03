"""What fuzzing found stays mended, every seed keeps the contract of readers, and the fuzzer notices what breaks it."""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli.parse import parse
from nbnumba.errors import FileError, UsageError
from nbnumba.io import foreign
from nbnumba.io.image import read_image
from tests.campaigns.fuzz import contract, mutate
from tests.campaigns.fuzz.__main__ import main
from tests.campaigns.fuzz.long_inputs import hard
from tests.campaigns.fuzz.seeds import REGRESSIONS, regressions, seeds
from tests.campaigns.fuzz.targets import TARGETS, find

FOUND = [(name, case) for name in TARGETS for case in regressions(name)]
HARD = [(name, case) for name in TARGETS for case in hard(name)]


def place(folder: Path, name: str, data: bytes) -> Path:
    path = folder / f"{name}{find(name).suffix}"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_keep_the_contract_and_are_of_use(name: str, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    taken = [
        contract.read_measured(TARGETS[name], place(tmp_path, name, data)) for data in seeds(name, tmp_path / "made")
    ]
    # the record of a series is compared with another one, which it never equals
    assert any(taken) or name == "manifest"


@pytest.mark.parametrize(("name", "case"), FOUND)
def test_what_once_failed(name: str, case: str, tmp_path: Path) -> None:
    contract.read(TARGETS[name], path := place(tmp_path, name, regressions(name)[case]))
    contract.read_measured(TARGETS[name], path)


def test_strange_words_of_a_command_line_are_shown_in_one_line() -> None:
    with pytest.raises(UsageError) as caught:
        parse(["-pgsour\x0b\udcd6\n"])
    assert str(caught.value) == r"unknown option '-pgsour\x0b\udcd6\n'"


def test_every_regression_belongs_to_a_target() -> None:
    assert {folder.name for folder in REGRESSIONS.iterdir()} <= set(TARGETS)
    assert len(FOUND) >= 25


@pytest.mark.parametrize(("name", "case"), HARD)
def test_long_inputs_cost_no_more_than_their_length(name: str, case: str, tmp_path: Path) -> None:
    """Time is the fuzzer's to measure (a loop without end would be seen here, too); memory is measured here."""
    contract.read_measured(TARGETS[name], place(tmp_path, name, hard(name)[case]))


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("error", "KeyError: 'planted'"),
        ("crash", signal.SIGSEGV.name),
        ("hang", "of processor time"),
        ("memory", "MemoryError"),
        ("wordless", "the message is not one line"),
    ],
)
@pytest.mark.slow
def test_runner_notices_and_keeps_the_input(name: str, cause: str, tmp_path: Path, capsys) -> None:
    words = [f"planted-{name}", "raw", "--plain", "--seconds", "0.5", "--keep", str(tmp_path / "kept")]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert cause in said
    assert "2 targets" in said and "1 failures" in said  # the other target ran all the same
    (kept,) = (tmp_path / "kept" / f"planted-{name}").iterdir()
    assert kept.read_bytes() != b"good\n"


def test_runner_is_content_with_a_sound_target(tmp_path: Path, capsys) -> None:
    assert main(["planted-sound", "--plain", "--seconds", "0.2", "--keep", str(tmp_path / "kept")]) == 0
    assert "0 failures" in capsys.readouterr().out
    assert not (tmp_path / "kept").exists()


def test_guided_runner_counts_edges_and_notices(tmp_path: Path, capsys) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed")
    words = ["--seconds", "2", "--keep", str(tmp_path / "kept"), "--json", str(tmp_path / "figures")]
    assert main(["pgm", *words]) == 0
    assert '"edges": null' not in (tmp_path / "figures").read_text()
    assert main(["planted-error", *words]) == 1
    assert "KeyError" in capsys.readouterr().out


def test_without_atheris_it_says_so_and_goes_on(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["planted-sound", "--seconds", "0.2", "--keep", str(tmp_path / "kept")]) == 0
    assert "pip install atheris" in capsys.readouterr().out


def test_unknown_target_is_named(capsys) -> None:
    assert main(["hlk"]) == 2
    assert "no target hlk" in capsys.readouterr().err


def test_plain_mutator_repeats_itself() -> None:
    corpus, words = [b"h k l 1.5\n2 3 4 5\n", b"other\n"], [b"word"]

    def inputs(seed: int) -> list[bytes]:
        source = random.Random(seed)
        return [mutate.mutate(source, corpus, words, 64) for _ in range(50)]

    assert inputs(1) == inputs(1) != inputs(2)
    assert len(set(inputs(1))) > 25 and max(map(len, inputs(1))) <= 64


# images of other programs, in a process with limits


def tiff(path: Path) -> Path:
    from PIL import Image

    Image.fromarray(np.arange(30, dtype=np.uint16).reshape(5, 6)).save(path, format="TIFF")
    return path


def test_foreign_image_comes_back(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_image(tiff(tmp_path / "a.tif")), np.arange(30).reshape(5, 6))


def test_foreign_image_that_goes_in_circles_ends(tmp_path: Path, monkeypatch) -> None:
    path = tiff(tmp_path / "a.tif")
    data = bytearray(path.read_bytes())
    first = int.from_bytes(data[4:8], "little")
    after = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    data[after : after + 4] = data[4:8]  # the next directory is this one
    path.write_bytes(data)
    monkeypatch.setattr(foreign, "CPU_SECONDS", 3)
    with pytest.raises(FileError, match=r"a\.tif is in no format that can be read: its reader did not finish"):
        read_image(path)


def test_foreign_image_that_claims_too_much_ends(tmp_path: Path) -> None:
    header = (
        "{\nByteOrder = LowByteFirst ;\nDataType = UnsignedShort ;\nDim_1 = 2000000 ;\nDim_2 = 2000000 ;\nImage = 1 ;\n"
    )
    (tmp_path / "a.edf").write_bytes(header.ljust(510).encode() + b"}\n" + bytes(60))
    with pytest.raises(FileError, match=r"a\.edf is in no format that can be read"):
        read_image(tmp_path / "a.edf")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            r"its reader crashed \(status -9\); the file is damaged",
        ),
        ("import sys; sys.exit(7)", r"its reader crashed \(status 7\)"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_foreign_image_whose_reader_crashes(tmp_path: Path, monkeypatch, code: str, message: str) -> None:
    monkeypatch.setattr(foreign, "_COMMAND", code)
    with pytest.raises(FileError, match=rf"a\.tif is in no format that can be read: {message}"):
        read_image(tiff(tmp_path / "a.tif"))


def test_foreign_image_without_a_process(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(foreign.sys, "executable", str(tmp_path / "no python"))
    with pytest.raises(FileError, match=r"cannot start a process to read .*a\.tif: "):
        foreign.read_foreign(tiff(tmp_path / "a.tif"))
