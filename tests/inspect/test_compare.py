"""Comparing images: differences by their name, files of all formats, and the picture."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import fabio.cbfimage
import numpy as np
import pytest

from nbnumba.cli.build import build
from nbnumba.cli.main import main
from nbnumba.cli.parse import parse
from nbnumba.errors import FileError
from nbnumba.inspect.compare import Limits, compare_images
from nbnumba.inspect.compare_picture import WIDTH_PX, save_comparison
from nbnumba.inspect.peak_indices import index_shift
from nbnumba.inspect.trace import trace
from nbnumba.io.image import read_image
from nbnumba.model.experiment import resolve
from tests.compare_inputs import FLAGS
from tests.terminal import shell

NAMES = ["conv_mosflm_default", "cell_triclinic_flag", "shape_round_fudge"]


# --- what a difference is called ---------------------------------------------------------------------------------


def hot(a: np.ndarray) -> np.ndarray:
    b = a.copy()
    b[11, 7] += 3 * a.max()
    return b


CHANGES = {
    "shifted": (lambda a: np.roll(a, 1, axis=1), r"B is A shifted by \+0 pixels along slow and \+1 along fast"),
    "shifted back": (lambda a: np.roll(a, (-2, 1), axis=(0, 1)), r"shifted by -2 pixels along slow and \+1 along fast"),
    "scaled": (lambda a: a * np.float32(1.02), r"B is A times 1\.02"),
    "hot": (hot, r"a single pixel differs: slow 11, fast 7 "),
    "pedestal": (lambda a: a + 40, r"B is A plus 40(\.0000\d)? in every pixel"),
    "mirrored": (lambda a: a[::-1], r"B is A mirrored along slow"),
    "turned": (lambda a: a[::-1, ::-1], r"B is A turned by 180 degrees"),
    "other": (lambda a: np.random.default_rng(1).permutation(a.ravel()).reshape(a.shape), r"no single change"),
    "zero": (lambda a: 0 * a, r"B is zero everywhere"),
}


@pytest.mark.golden
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", NAMES)
def test_golden_images_changed(name: str, change: str, golden_images, tmp_path: Path, capsys) -> None:
    a = golden_images[name]
    changed, message = CHANGES[change]
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", changed(a))
    words = [
        "compare",
        str(tmp_path / "a.npy"),
        str(tmp_path / "b.npy"),
        "--out",
        str(tmp_path / "out"),
        "--no-picture",
    ]
    assert main(words) == 1
    assert re.search(message, capsys.readouterr().out)
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert not content["passed"] and content["failures"]
    assert re.search(message, content["explanation"])
    if change == "shifted":
        peaks = content["metrics"]["peaks"]
        assert peaks["n_matched"] > 0.8 * peaks["n_a"]
        # peaks at the edges and close neighbours pull a little
        assert (peaks["offset_slow"], peaks["offset_fast"]) == pytest.approx((0, 1), abs=0.1)
    if change == "scaled":
        assert content["metrics"]["sum_ratio"] == pytest.approx(1.02, rel=1e-6)
        assert main([*words, "--scale", "fit"]) == 0
        fitted = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]
        assert fitted["scale"] == pytest.approx(1.02, rel=1e-6) and fitted["max_rel"] < 1e-6


@pytest.mark.golden
@pytest.mark.parametrize("name", NAMES)
def test_golden_image_with_itself(name: str, golden_images, tmp_path: Path, capsys) -> None:
    golden_images[name].tofile(tmp_path / "a.bin")
    shape = list(map(str, golden_images[name].shape))
    words = ["compare", str(tmp_path / "a.bin"), str(tmp_path / "a.bin"), "--shape", *shape, "--out", str(tmp_path)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "the images are identical" in out and re.search(r"correlation: +1\n", out)
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["passed"] and content["metrics"]["correlation"] == pytest.approx(1, abs=1e-12)
    assert_picture(tmp_path / "comparison.png")


def test_rounding_is_called_so(golden_images) -> None:
    a = golden_images["conv_mosflm_default"].astype(float)
    rng = np.random.default_rng(2)
    text = compare_images(a, a * (1 + 1e-7 * rng.standard_normal(a.shape))).explanation
    assert text.endswith("of the maximum: rounding")


def test_mask_and_roi_leave_pixels_out(golden_images) -> None:
    a = golden_images["conv_mosflm_default"]
    b = hot(a)
    mask = np.ones(a.shape)
    mask[11, 7] = 0
    assert compare_images(a, b, mask=mask).explanation == "the images are identical"
    assert compare_images(a, b, roi=(8, 20, 0, 20)).passed
    assert not compare_images(a, b, roi=(7, 7, 11, 12)).passed
    assert compare_images(a, b, roi=(8, 20, 0, 20)).metrics.pixels == 13 * 21
    nan = b.copy()
    nan[11, 7] = np.nan
    assert compare_images(a, nan).metrics.pixels == a.size - 1


def test_bars() -> None:
    a = np.arange(1.0, 101).reshape(10, 10)
    b = a * 1.005
    assert compare_images(a, b).passed
    assert compare_images(a, b, limits=Limits(sum_ratio=(0.999, 1.001))).failures == (
        "sum(B) / sum(A) is 1.005, not between 0.999 and 1.001",
    )
    assert "above 0.001" in compare_images(a, b, limits=Limits(max_rel=0.001)).failures[0]
    assert compare_images(a, b * 3, limits=Limits(None, None, None)).passed
    rng = np.random.default_rng(0)
    assert "is below 0.999" in compare_images(a, rng.permutation(a), limits=Limits(max_rel=None)).failures[0]


# --- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(4).poisson(20.0, (12, 17)).astype(np.uint16)


def test_formats(tmp_path: Path, image: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", image)
    fabio.cbfimage.CbfImage(data=image.astype(np.int32)).write(str(tmp_path / "a.cbf"))
    image.astype("<f4").tofile(tmp_path / "a.bin")
    for name in ("a.npy", "a.cbf"):
        np.testing.assert_array_equal(read_image(tmp_path / name), image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.bin", (12, 17)), image)


def test_images_of_a_run(tmp_path: Path, monkeypatch, capsys) -> None:
    """SMV against bare floats, which take the SMV image's shape; the integer image is the float one, rounded."""
    monkeypatch.chdir(tmp_path)
    assert main(["run", *FLAGS, "-nonoise", "-nopgm", "-adc", "0", "-q"]) == 0
    files = ["intimage.img", "floatimage.bin"]
    for pair in (files, files[::-1]):
        # rounding to whole counts of a brightest pixel of 55,000
        assert main(["compare", *pair, "--scale", "fit", "--max-rel", "1e-4", "--no-picture"]) == 0
        assert re.search(r"pixels compared: +384 of 384", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "b.npy", "cannot read the image"),
        (b"\x93NUMPY\x01\x00", "b.npy", "cannot read the image"),
        (b"nothing", "b.img", "is in no format that can be read"),
        (b"{\nHEADER_BYTES= 512;\n", "b.img", "b.img"),
        (b"12345678", "b.bin", "8 bytes, but 17 x 12 pixels"),
        (None, "b.npy", "no such file|No such file"),
        (None, "b.img", "b.img"),
        (None, "b.bin", "no such file"),
    ],
)
def test_unreadable_images_end_in_one_sentence(tmp_path, image, capsys, content, name, message) -> None:
    np.save(tmp_path / "a.npy", image)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["compare", str(tmp_path / "a.npy"), str(tmp_path / name), "--out", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert re.fullmatch(rf"nbnumba: error: .*({message}).*\n", err)
    assert not (tmp_path / "out").exists()


def test_arrays_that_are_no_image(tmp_path: Path, image: np.ndarray) -> None:
    for number, array in enumerate((image[0], image[None], image.astype(complex), np.array([["a", "b"]]))):
        np.save(tmp_path / f"{number}.npy", array)
        with pytest.raises(FileError, match="holds no image"):
            read_image(tmp_path / f"{number}.npy")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["a.npy", "c.npy"], 1, "different shapes: A 12 x 17, B 17 x 12 "),
        (["a.bin", "a.bin"], 1, "give its size with --shape SLOW FAST"),
        (["a.npy", "a.npy", "--roi", "0", "17", "0", "3"], 1, "--roi 0 17 0 3 does not lie in the image"),
        (["a.npy", "a.npy", "--mask", "c.npy"], 1, "the mask has 17 x 12 pixels, the images 12 x 17"),
        (["a.npy", "a.npy", "--mask", "zero.npy"], 1, "no pixel is left"),
        (["a.npy", "zero.npy", "--scale", "fit"], 1, "cannot be scaled"),
        (["a.npy", "a.npy", "--rtol", "-1"], 1, "must not be negative"),
        (["a.npy", "a.npy", "--scale", "fat"], 2, "--scale needs the word fit"),
        (["a.npy", "a.npy", "--sum-ratio", "1.1"], 2, "needs LOW:HIGH"),
        (["a.npy", "a.npy", "--sum-ratio", "2:1"], 2, "needs LOW:HIGH"),
        (["a.npy"], 2, "compare needs two images, got 1"),
        (["a.npy", "a.npy", "--against", "x", "--", "-N", "3"], 2, "compares programs, not files"),
        (["--against", "x"], 2, "needs flags to run with"),
        (["--against", "--", "-N", "3"], 2, "set NB_C_BIN"),
        (["--", "-N", "3"], 2, "set NB_C_BIN"),
        (["--against", "no-such-program", "--", "-N", "3"], 1, "cannot be run"),
        (["--against", "'no end", "--", "-N", "3"], 1, "'no end cannot be run: give --against PATH"),
        (["--against", "true", "--py-bin", "no-such-program", "--", "-N", "3"], 1, "give --py-bin PATH of a program"),
        (["a.npy", "a.npy", "--py-bin", "true"], 2, "compares programs, not files"),
    ],
)
def test_wrong_usage(tmp_path, image, capsys, monkeypatch, words, code, message) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NB_C_BIN", raising=False)
    np.save("a.npy", image)
    np.save("c.npy", image.T)
    np.save("zero.npy", 0 * image)
    image.astype("<f4").tofile("a.bin")
    assert main(["compare", *words]) == code
    assert re.fullmatch(rf"nbnumba: error: .*{re.escape(message)}.*\n", capsys.readouterr().err)
    assert not Path("metrics.json").exists()


@pytest.mark.parametrize("factor", [2, 3])
def test_an_image_of_another_shape_is_resampled(factor: int, tmp_path, image, capsys, monkeypatch) -> None:
    """A binned image against its source, in which each pixel is repeated; without the option it is an error."""
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", image)
    np.save("b.npy", np.kron(image, np.ones((factor, factor))))
    assert main(["compare", "a.npy", "b.npy", "--no-picture"]) == 1
    assert "different shapes" in capsys.readouterr().err
    for words in (["a.npy", "b.npy"], ["b.npy", "a.npy"]):
        assert main(["compare", *words, "--resample", "--no-picture"]) == 0
        out = capsys.readouterr().out
        assert "B resampled" in out and "the images are identical" in out


def test_peaks_apart_in_reciprocal_space() -> None:
    """Against the fractional indices that the trace gives for the pixels of the peaks."""
    flags = (
        "-cell 40 50 60 -misset 10 20 30 -default_F 100 -N 5 -distance 80 -pixel 0.3 -detpixels_f 40 -detpixels_s 30"
    )
    experiment = resolve(build(parse([*flags.split(), "-oversample", "1"]))[0])
    a, b = np.zeros((2, 30, 40))
    a[5, 7], a[20, 30], b[5, 8], b[21, 30] = 1, 0.9, 1, 0.9
    h = {
        (s, f): trace(experiment, [(s, f)], device="cpu")[0].factors["hkl_frac"]
        for s, f in ((5, 7), (5, 8), (20, 30), (21, 30))
    }
    steps = [np.abs(np.subtract(h[5, 8], h[5, 7])), np.abs(np.subtract(h[21, 30], h[20, 30]))]
    shift = index_shift(a, b, np.ones(a.shape, bool), 3.0, experiment)
    np.testing.assert_allclose(shift, np.mean(steps, axis=0), rtol=1e-9)
    assert index_shift(a, 0 * b, np.ones(a.shape, bool), 3.0, experiment) is None


# --- picture -----------------------------------------------------------------------------------------------------


def assert_picture(path: Path) -> None:
    """A PNG of the promised width with dark, coloured and white dots."""
    from matplotlib.image import imread

    pixels = imread(path)[..., :3]
    assert pixels.shape[1] == WIDTH_PX == 1600
    assert (pixels.min(axis=-1) > 0.99).mean() > 0.3  # paper
    assert (pixels.max(axis=-1) < 0.3).any()  # ink
    assert (np.ptp(pixels, axis=-1) > 0.5).any()  # the colour bar of the difference


@pytest.mark.parametrize("kind", ["golden", "zeros", "negative", "masked", "wide", "tall", "large"])
def test_picture_of_any_image(kind: str, golden_images, tmp_path: Path) -> None:
    a = golden_images["conv_mosflm_default"].astype(float)
    mask = None
    if kind == "zeros":
        a = 0 * a
    elif kind == "negative":
        a = -a
    elif kind == "masked":
        mask = np.zeros(a.shape)
        mask[10:20, 10:30] = 1
    elif kind == "wide":
        a = a[:3]
    elif kind == "tall":
        a = a[:, :3]
    elif kind == "large":
        a = np.tile(a, (8, 8))
    save_comparison(tmp_path / "picture.png", compare_images(a, 1.02 * a, mask=mask), name_a="x" * 200, unit="photons")
    assert_picture(tmp_path / "picture.png")


def test_picture_that_cannot_be_written(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(FileError, match="does not exist"):
        save_comparison(tmp_path / "none" / "picture.png", compare_images(image, image))


def test_a_constant_factor_beside_noise_is_named(golden_images) -> None:
    """Noise keeps B from being A times anything, but no other change comes closer."""
    a = golden_images["shape_gauss_fudge"].astype(float)
    noise = np.random.default_rng(2).normal(0, 0.1 * np.sqrt(np.mean(a * a)), a.shape)
    comparison = compare_images(a, 1.5 * a + noise)
    found = re.search(r"B is about A times (\S+); the rest differs by (\S+) of B", comparison.explanation)
    assert found is not None, comparison.explanation
    assert float(found[1]) == pytest.approx(1.5, rel=0.02)
    b = 1.5 * a + noise
    assert float(found[2]) == pytest.approx(np.linalg.norm(noise) / np.linalg.norm(b), rel=0.1)


def test_a_folder_that_cannot_be_written(tmp_path: Path, image: np.ndarray, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", image)
    assert main(["compare", "a.npy", "a.npy", "--out", "a.npy/b"]) == 1
    assert "cannot make the folder a.npy/b: " in capsys.readouterr().err
    monkeypatch.setattr(
        "nbnumba.cli.compare.os.access", lambda path, mode, **how: mode != os.W_OK
    )  # root may write anywhere
    assert main(["compare", "a.npy", "a.npy", "--out", "b"]) == 1
    assert "the folder b is write-protected: give another one with --out" in capsys.readouterr().err
    assert not list((tmp_path / "b").iterdir())


def test_names_of_images_may_hold_any_letter(tmp_path: Path, image: np.ndarray) -> None:
    """A tab, a letter that no font has, what would be a broken formula, and bytes that are no text."""
    names = ("a\tb$x^$.npy", "\u5b57\udce4$_$.npy")
    for name in names:
        np.save(tmp_path / name, image)
    result = shell("compare", *names, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "comparison.png").stat().st_size > 10000
