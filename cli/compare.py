"""``nbnumba compare``: compare two images, or the image of another simulator with nbnumba's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer

import nbnumba
from nbnumba.cli.against import for_ours, run_both
from nbnumba.cli.build import build
from nbnumba.cli.compare_flags import CompareOptions
from nbnumba.cli.parse import parse
from nbnumba.errors import ConfigError, FileError, UsageError
from nbnumba.inspect.compare import Comparison, Limits, compare_images, resampled
from nbnumba.inspect.compare_picture import save_comparison, save_single_pictures, summary_rows
from nbnumba.inspect.model_causes import explain_by_model
from nbnumba.inspect.peak_indices import index_shift
from nbnumba.io.files import cause, together
from nbnumba.io.image import BARE_SUFFIXES, count_images, read_image, read_mask
from nbnumba.io.json_file import write_json
from nbnumba.model.experiment import resolve


@dataclass(frozen=True)
class Pair:
    """Two images with their names, the unit of a pixel, further lines for the report, and pixels that both files call good."""

    a: np.ndarray
    b: np.ndarray
    name_a: str
    name_b: str
    unit: str
    remarks: tuple[tuple[str, str], ...] = ()
    good: np.ndarray | None = None


def compare_files(a: Path, b: Path, options: CompareOptions, flags: Sequence[str] = ()) -> bool:
    """Compare two files; returns whether they are the same within the limits.

    ``flags``: of the simulation that made one of them, for causes of the difference that need the experiment.

    Raises
    ------
    NbnumbaError
        A file cannot be read or written, shapes differ, or an option is not allowed.
    """
    numbers = _chosen(a, b, options.image)
    one, two = _read_both(a, b, options.shape, numbers)
    remarks = [(f"image of {name}", str(number)) for name, number in zip("AB", numbers, strict=True) if number]
    if options.resample and one.shape != two.shape:
        sizes = " to ".join(f"{slow} x {fast}" for slow, fast in (two.shape, one.shape))
        remarks.append(("B resampled", f"from {sizes} pixels (slow x fast), each the nearest one"))
        two = resampled(two, one.shape)
    good = _good_pixels((a, b), numbers, one.shape, options.resample)
    if good is not None:
        remarks.append(("masked", f"{np.count_nonzero(~good)} pixels, by the pixel mask of the file"))
    return _report(Pair(one, two, str(a), str(b), "value as stored", tuple(remarks), good), options, flags=flags)


def compare_against(executable: str | None, flags: Sequence[str], options: CompareOptions) -> bool:
    """Run another simulator (default: ``NB_C_BIN``) and nbnumba, and compare their float images.

    Raises
    ------
    NbnumbaError
        As :func:`compare_files`; also if the program does not exist or fails.
    """
    executable = executable or os.environ.get("NB_C_BIN")
    if not executable:
        raise UsageError("--against needs the other simulator: give its path, or set NB_C_BIN")
    if not flags:
        raise UsageError("--against needs flags to run with: nbnumba compare --against EXECUTABLE -- FLAGS")
    _make_folder(options.out)
    runs = run_both(executable, flags, options.out if options.keep else None, options.py_bin)
    remarks = [
        ("time of A", f"{runs.a_s:.3g} s, the whole process"),
        ("time of B", f"{runs.b_s:.3g} s, the whole process{_of_which(runs.record)}"),
        ("A takes", f"{runs.a_s / runs.b_s:.3g} times as long as B"),
    ]
    pair = Pair(runs.a, runs.b, executable, options.py_bin or "nbnumba run", "photons", tuple(remarks))
    record = runs.record or {}
    extra = {
        "executable": executable,
        "py_bin": options.py_bin,
        "flags": list(flags),
        "seconds": {"A": runs.a_s, "B": runs.b_s, "B_phases": record.get("timings_s")},
        "version": nbnumba.__version__,
        **{key: record.get(key) for key in ("kernel", "device", "precision")},
    }
    return _report(pair, options, extra, flags)


def _of_which(record: dict[str, Any] | None) -> str:
    """Parts of the time of nbnumba's process, if it made the image."""
    if record is None:
        return ""
    timings = record["timings_s"]
    compiling = f", {timings['prepare']:.3g} s compiling, once after an installation" if timings["prepare"] > 1 else ""
    return f"; of which {timings['render']:.3g} s rendering ({record['kernel']}){compiling}"


def _with_model(comparison: Comparison, flags: Sequence[str], options: CompareOptions, limits: Limits) -> Comparison:
    """The comparison with what needs the experiment of the flags: hkl of peaks, and a cause that the images do not show."""
    if not flags:
        return comparison
    a, b, valid = comparison.a, comparison.b, comparison.valid
    words = for_ours(flags)  # names of files become absolute before the folder changes
    # dumps of structure factors are read and written in an empty folder
    with tempfile.TemporaryDirectory(prefix="nbnumba-") as folder, chdir(folder):
        experiment = resolve(build(parse(words))[0])
        if len(experiment.detector.panels) > 1 or a.shape != experiment.panel.shape:
            return comparison
        shift = index_shift(a, b, valid, options.radius, experiment)
        found = comparison.cause if comparison.explained else explain_by_model(a, b, valid, experiment)
    failures = limits.failures(comparison.metrics, shift)
    return replace(comparison, cause=found, index_shift=shift, failures=tuple(failures))


def _chosen(a: Path, b: Path, image: int | None) -> tuple[int | None, int | None]:
    """Number of the image in each file, where it has several.

    Raises
    ------
    ConfigError
        A number is given, and none of them has.
    """
    if image is None:
        return None, None
    several = [count_images(path) > 1 for path in (a, b)]
    if not any(several):
        raise ConfigError(f"neither {a} nor {b} holds several images: leave out --image {image}")
    return (image if several[0] else None), (image if several[1] else None)


def _read_both(
    a: Path, b: Path, shape: tuple[int, int] | None, numbers: tuple[int | None, int | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Both images; a file without a header has the shape of the other one if none is given."""
    if shape is None and (a.suffix.lower() in BARE_SUFFIXES) != (b.suffix.lower() in BARE_SUFFIXES):
        bare_first = a.suffix.lower() in BARE_SUFFIXES
        known = read_image(b if bare_first else a, None, numbers[bare_first])
        spixels, fpixels = known.shape
        bare = read_image(a if bare_first else b, (spixels, fpixels))
        return (bare, known) if bare_first else (known, bare)
    return read_image(a, shape, numbers[0]), read_image(b, shape, numbers[1])


def _good_pixels(
    paths: tuple[Path, Path], numbers: tuple[int | None, int | None], shape: tuple[int, ...], resample: bool
) -> np.ndarray | None:
    """Pixels that no file masks; None if no file has a mask, or it masks nothing."""
    good = np.ones(shape, bool)
    for path, number in zip(paths, numbers, strict=True):
        mask = read_mask(path, number)
        if mask is not None and resample and mask.shape != shape:
            mask = resampled(mask, (shape[0], shape[1]))
        if mask is not None and mask.shape == shape:  # other shapes are refused with the images
            good &= mask
    return None if good.all() else good


def _mask(options: CompareOptions, pair: Pair) -> np.ndarray | None:
    """Pixels that count, by ``--mask`` and by the files."""
    if options.mask is None:
        return pair.good
    found = read_mask(options.mask)
    if found is None:
        found = read_image(options.mask, (pair.a.shape[0], pair.a.shape[1]))
    return found if pair.good is None or found.shape != pair.good.shape else (found != 0) & pair.good


def _report(pair: Pair, options: CompareOptions, extra: dict | None = None, flags: Sequence[str] = ()) -> bool:
    limits = Limits(
        options.min_correlation,
        _bounds(options.sum_ratio),
        options.max_rel,
        options.max_peak_distance,
        options.max_dhkl,
    )
    comparison = compare_images(
        pair.a,
        pair.b,
        mask=_mask(options, pair),
        roi=options.roi,
        fit=options.fit,
        rtol=options.rtol,
        atol=options.atol,
        radius=options.radius,
        limits=limits,
    )
    comparison = _with_model(comparison, flags, options, limits)
    accepted = comparison.passed or (options.accept_explained and comparison.explained)
    _print(pair, comparison, accepted)
    _make_folder(options.out)
    metrics, picture = options.out / "metrics.json", options.out / "comparison.png"
    with together():
        write_json(metrics, {"A": pair.name_a, "B": pair.name_b, **comparison.data(), **(extra or {})})
        if options.picture:
            save_comparison(picture, comparison, name_a=pair.name_a, name_b=pair.name_b, unit=pair.unit)
        singles = save_single_pictures(options.out, comparison, pair.unit) if options.pictures else []
    names = [str(path) for path in (metrics, *[picture] * options.picture, *singles)]
    typer.echo(f"wrote {' and '.join(names)}")
    return accepted


def _print(pair: Pair, comparison: Comparison, accepted: bool) -> None:
    rows = [("A", pair.name_a), ("B", pair.name_b), *pair.remarks, *summary_rows(comparison)]
    width = max(len(label) for label, _ in rows) + 2
    for label, text in rows:
        typer.echo(f"{label + ':':{width}}{text}")
    typer.echo(f"\n{comparison.explanation}")
    for failure in comparison.failures:
        typer.echo(f"fails: {failure}")
    if accepted:
        typer.echo("passes" if comparison.passed else "passes: the cause of the difference is known")


def _bounds(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        bounds = float(low), float(high)
    except ValueError:
        bounds = (1.0, 0.0)
    if not colon or not bounds[0] <= bounds[1]:
        raise UsageError(f"--sum-ratio needs LOW:HIGH, for example 0.99:1.01, got {text!r}")
    return bounds


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make the folder {folder}: {cause(error)}") from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"the folder {folder} is write-protected: give another one with --out")
