"""``nbnumba compare``: compare two images, or the image of another simulator with nbnumba's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import typer

from nbnumba.cli.against import for_ours, run_both
from nbnumba.cli.build import build
from nbnumba.cli.compare_flags import CompareOptions
from nbnumba.cli.parse import parse
from nbnumba.cli.run import write_json
from nbnumba.errors import ConfigError, FileError, UsageError
from nbnumba.inspect.compare import BARE_SUFFIXES, Comparison, Limits, compare_images, read_image
from nbnumba.inspect.compare_picture import save_comparison, save_single_pictures, summary_rows
from nbnumba.inspect.model_causes import explain_by_model
from nbnumba.io.files import cause, together
from nbnumba.model.experiment import resolve


@dataclass(frozen=True)
class Pair:
    """Two images with their names, the unit of a pixel, and further lines for the report."""

    a: np.ndarray
    b: np.ndarray
    name_a: str
    name_b: str
    unit: str
    remarks: tuple[tuple[str, str], ...] = ()


def compare_files(a: Path, b: Path, options: CompareOptions, flags: Sequence[str] = ()) -> bool:
    """Compare two files; returns whether they are the same within the limits.

    ``flags``: of the simulation that made one of them, for causes of the difference that need the experiment.

    Raises
    ------
    NbnumbaError
        A file cannot be read or written, shapes differ, or an option is not allowed.
    """
    images = _read_both(a, b, options.shape)
    return _report(Pair(*images, str(a), str(b), "value as stored"), options, flags=flags)


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
    runs = run_both(executable, flags, options.out if options.keep else None)
    timings = runs.record["timings_s"]
    of_which = f"{timings['render']:.3g} s rendering ({runs.record['kernel']})"
    if timings["prepare"] > 1:
        of_which += f", {timings['prepare']:.3g} s compiling, once after an installation"
    remarks = [
        ("time of A", f"{runs.other_s:.3g} s, the whole process"),
        ("time of B", f"{runs.ours_s:.3g} s, the whole process; of which {of_which}"),
        ("A takes", f"{runs.other_s / runs.ours_s:.3g} times as long as B"),
    ]
    pair = Pair(runs.other, runs.ours, executable, "nbnumba run", "photons", tuple(remarks))
    extra = {
        "executable": executable,
        "flags": list(flags),
        "seconds": {"A": runs.other_s, "B": runs.ours_s, "B_phases": timings},
        "kernel": runs.record["kernel"],
        "device": runs.record["device"],
        "precision": runs.record["precision"],
        "version": runs.record["version"],
    }
    return _report(pair, options, extra, flags)


def _with_cause(comparison: Comparison, flags: Sequence[str]) -> Comparison:
    """The comparison with a cause that needs the experiment of the flags, where the images alone show none."""
    if comparison.explained or not flags:
        return comparison
    words = for_ours(flags)
    # dumps of structure factors are read and written in an empty folder
    with tempfile.TemporaryDirectory(prefix="nbnumba-") as folder, chdir(folder):
        experiment = resolve(build(parse(words))[0])
        if len(experiment.detector.panels) > 1 or comparison.a.shape != experiment.panel.shape:
            return comparison
        cause = explain_by_model(comparison.a, comparison.b, comparison.valid, experiment)
    return replace(comparison, cause=cause)


def _read_both(a: Path, b: Path, shape: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Both images; a file without a header has the shape of the other one if none is given."""
    if shape is None and (a.suffix.lower() in BARE_SUFFIXES) != (b.suffix.lower() in BARE_SUFFIXES):
        bare_first = a.suffix.lower() in BARE_SUFFIXES
        known = read_image(b if bare_first else a)
        spixels, fpixels = known.shape
        bare = read_image(a if bare_first else b, (spixels, fpixels))
        return (bare, known) if bare_first else (known, bare)
    return read_image(a, shape), read_image(b, shape)


def _report(pair: Pair, options: CompareOptions, extra: dict | None = None, flags: Sequence[str] = ()) -> bool:
    mask = None if options.mask is None else read_image(options.mask, pair.a.shape)  # type: ignore[arg-type]
    comparison = compare_images(
        pair.a,
        pair.b,
        mask=mask,
        roi=options.roi,
        fit=options.fit,
        rtol=options.rtol,
        atol=options.atol,
        radius=options.radius,
        limits=Limits(options.min_correlation, _bounds(options.sum_ratio), options.max_rel, options.max_peak_distance),
    )
    comparison = _with_cause(comparison, flags)
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
