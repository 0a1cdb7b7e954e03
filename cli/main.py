"""The command line: the Typer app, its commands, and the messages and exit codes of errors."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import nbnumba
from nbnumba.cli import failures, interrupt, start
from nbnumba.cli.bench_flags import BENCH_FLAGS, BenchRequest, parse_bench
from nbnumba.cli.command import flag_command
from nbnumba.cli.compare_flags import FLAGS_KEY, CompareCommand, CompareOptions
from nbnumba.cli.derivatives_flags import DERIVATIVES_FLAGS, DerivativesRequest, parse_derivatives
from nbnumba.cli.flag_table import FLAGS
from nbnumba.cli.parse import Invocation, parse, with_files
from nbnumba.cli.refine_flags import REFINE_FLAGS, RefineRequest, parse_refine
from nbnumba.cli.series_flags import SERIES_FLAGS, SeriesRequest, parse_series
from nbnumba.cli.trace_flags import TRACE_FLAGS, TraceRequest, parse_trace
from nbnumba.errors import UsageError
from nbnumba.render.threads import is_left_running

app = typer.Typer(
    name="nbnumba",
    help="X-ray diffraction images of nanocrystals: nanoBragg's command line on CPU and GPU.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nbnumba {nbnumba.__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _app(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", metavar="", help="Show the traceback of an error.")] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


_RUN_HELP = (
    "Simulate an image from nanoBragg's flags and write nanoBragg's files.\n\n"
    "A crystal (-mat or -cell) and structure factors (-hkl, -default_F or an earlier Fdump.bin) are needed, all else has "
    "a default. Flags take one dash or two (-distance 100, --distance 100); options shown with two dashes are extensions "
    "of nbnumba. Of flags that contradict one another the last one counts. @FILE stands for the flags in a file, "
    "--config supervisor for those of that preset."
)


@flag_command(app, "run", parse, FLAGS, _RUN_HELP, panel="Simulate")
def _simulate(invocation: Invocation) -> None:
    if "trace.pixel" in invocation.values:
        from nbnumba.cli.trace import run_and_trace

        run_and_trace(invocation)
    else:
        from nbnumba.cli.run import run  # imports NumPy and Numba, which the help does not need

        run(invocation)


_TRACE_HELP = (
    "Print every factor of the value of pixels, from the functions that render them.\n\n"
    "nbnumba trace SLOW FAST FLAGS, with the flags of 'nbnumba run', or with @FILE or --config supervisor. The lines (TRACE_PY: key value) can be compared "
    "with those of another program by 'nbnumba compare-traces'."
)


@flag_command(
    app,
    "trace",
    parse_trace,
    TRACE_FLAGS,
    _TRACE_HELP,
    metavar="SLOW FAST [SLOW FAST]... FLAGS",
    panel="Compare",
)
def _trace(request: TraceRequest) -> None:
    from nbnumba.cli.trace import trace_pixels

    trace_pixels(request)


_SERIES_HELP = (
    "Make a data set in one command: a rotation series (--images) or stills (--stills), with a table of the truth.\n\n"
    "All other flags are those of 'nbnumba run'. The same command continues a run that was stopped: it makes the "
    "missing images. See docs/series.md."
)


@flag_command(
    app,
    "series",
    parse_series,
    SERIES_FLAGS,
    _SERIES_HELP,
    metavar="--images N|--stills N FLAGS",
    panel="Simulate",
)
def _series(request: SeriesRequest) -> None:
    from nbnumba.cli.series import make_series

    make_series(request)


_DERIVATIVES_HELP = (
    "Derivatives of the image with respect to parameters of crystal, beam and detector, exact: --of misset_x_deg,cell_a.\n\n"
    "All other flags are those of 'nbnumba run'. --check compares them with central differences, --information tells how "
    "well the image determines the parameters. See docs/derivatives.md."
)


@flag_command(
    app,
    "derivatives",
    parse_derivatives,
    DERIVATIVES_FLAGS,
    _DERIVATIVES_HELP,
    metavar="--of NAMES FLAGS",
    panel="Simulate",
)
def _derivatives(request: DerivativesRequest) -> None:
    from nbnumba.cli.derivatives import show_derivatives

    raise typer.Exit(0 if show_derivatives(request) else 1)


_REFINE_HELP = (
    "Refine the model of an image against its pixels: orientation, cell, size and scale by default, each with its standard "
    "error.\n\n"
    "nbnumba refine IMAGE --geometry start.expt FLAGS, with the flags of 'nbnumba run' for the model to start from. Writes "
    "refined.expt, refined.json, refined.csv and refined.png; exit code 1 if it did not converge. --self-test shows that it "
    "works on this machine. See docs/refine.md."
)


@flag_command(
    app,
    "refine",
    parse_refine,
    REFINE_FLAGS,
    _REFINE_HELP,
    metavar="IMAGE... FLAGS",
    panel="Refine",
)
def _refine(request: RefineRequest) -> None:
    from nbnumba.cli.refine import refine_images

    raise typer.Exit(0 if refine_images(request) else 1)


_COMPARE_HELP = (
    "Compare two images: numbers into metrics.json, a picture into comparison.png; exit code 1 if they differ.\n\n"
    "nbnumba compare A B compares files: SMV, CBF, NXmx, npy, other formats that fabio reads, and bare floats (.bin). With the "
    "flags of the simulation after '--' more causes of a difference are tried.\n\n"
    "nbnumba compare --against EXECUTABLE -- FLAGS runs another simulator (default: NB_C_BIN) and nbnumba with the "
    "same flags in clean folders, times both, and compares their images."
)


@app.command("compare", cls=CompareCommand, help=_COMPARE_HELP, rich_help_panel="Compare")
def _compare(
    ctx: typer.Context,
    files: Annotated[list[Path] | None, typer.Argument(help="Two images.", metavar="A B")] = None,
    against: Annotated[str | None, typer.Option(help="Another simulator.", metavar="EXECUTABLE")] = None,
    c_bin: Annotated[str | None, typer.Option("--c-bin", help="The same.", metavar="EXECUTABLE")] = None,
    py_bin: Annotated[
        str | None, typer.Option("--py-bin", help="With --against: this program instead of nbnumba.", metavar="COMMAND")
    ] = None,
    shape: Annotated[tuple[int, int] | None, typer.Option(help="Size of bare floats.", metavar="SLOW FAST")] = None,
    image: Annotated[int | None, typer.Option(help="Which image of a file of several, from 1.", metavar="N")] = None,
    resample: Annotated[
        bool, typer.Option("--resample", metavar="", help="Bring B to the shape of A: nearest pixels.")
    ] = False,
    roi: Annotated[
        tuple[int, int, int, int] | None,
        typer.Option(
            help="Compare these pixels: xmin xmax ymin ymax, the last ones included, x is fast.", metavar="X X Y Y"
        ),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Leave out pixels that are 0 in this image.", metavar="FILE")
    ] = None,
    scale: Annotated[
        str | None, typer.Option(help="'fit': divide B by the factor nearest to A.", metavar="fit")
    ] = None,
    rtol: Annotated[float, typer.Option(help="Pixels are equal within this share of the larger.", metavar="X")] = 1e-3,
    atol: Annotated[float, typer.Option(help="Or within this difference.", metavar="X")] = 0.0,
    radius: Annotated[float, typer.Option(help="Largest distance of matched peaks, in pixels.", metavar="X")] = 3.0,
    min_correlation: Annotated[float, typer.Option(help="Least correlation.", metavar="X")] = 0.999,
    sum_ratio: Annotated[str, typer.Option(help="Bounds of sum(B) / sum(A).", metavar="LOW:HIGH")] = "0.99:1.01",
    max_rel: Annotated[
        float, typer.Option(help="Largest difference, as a fraction of the maximum.", metavar="X")
    ] = 0.01,
    out: Annotated[Path, typer.Option(help="Where metrics.json and comparison.png go.", metavar="FOLDER")] = Path(),
    max_peak_distance: Annotated[
        float, typer.Option(help="Largest mean distance of matched peaks, in pixels.", metavar="X")
    ] = 1.0,
    max_dhkl: Annotated[
        float,
        typer.Option(help="Largest mean difference of h, k, l of matched peaks, where flags are given.", metavar="X"),
    ] = 5e-4,
    accept_explained: Annotated[
        bool,
        typer.Option("--accept-explained", metavar="", help="Exit code 0 if a known cause explains the difference."),
    ] = False,
    picture: Annotated[bool, typer.Option(help="Draw comparison.png.", metavar="")] = True,
    pictures: Annotated[
        bool, typer.Option("--pictures", metavar="", help="Also draw a.png, b.png and difference.png.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", metavar="", help="With --against: keep images and logs of both.")
    ] = False,
) -> None:
    from nbnumba.cli.compare import compare_against, compare_files

    if scale not in (None, "fit"):
        raise UsageError(f"--scale needs the word fit, got {scale!r}")
    options = CompareOptions(
        shape=shape,
        image=image,
        roi=roi,
        mask=mask,
        fit=scale == "fit",
        rtol=rtol,
        atol=atol,
        radius=radius,
        min_correlation=min_correlation,
        sum_ratio=sum_ratio,
        max_rel=max_rel,
        out=out,
        picture=picture,
        pictures=pictures,
        keep=keep,
        accept_explained=accept_explained,
        max_peak_distance=max_peak_distance,
        max_dhkl=max_dhkl,
        py_bin=py_bin,
        resample=resample,
    )
    against = against or c_bin
    flags, given = ctx.meta.get(FLAGS_KEY), files or []
    if against is not None or py_bin is not None or (flags is not None and not given):
        if given:
            raise UsageError(f"--against compares programs, not files; flags come after '--', got {given[0]}")
        same = compare_against(against, flags or [], options)
    else:
        if len(given) != 2:
            raise UsageError(f"compare needs two images, got {len(given)}")
        same = compare_files(given[0], given[1], options, flags or [])
    raise typer.Exit(0 if same else 1)


@app.command("compare-traces", rich_help_panel="Compare")
def _compare_traces(
    a: Annotated[
        Path, typer.Argument(metavar="A", help="A log with TRACE_C or TRACE_PY lines, or the JSON of a trace.")
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    rtol: Annotated[float, typer.Option(help="Largest relative difference.", metavar="X")] = 1e-6,
    max_dhkl: Annotated[float, typer.Option(help="Largest difference of a fractional index.", metavar="X")] = 5e-4,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the comparison as data.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write it as a table.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write it as a table in Markdown.")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Put traces, comparison, commands and versions into a new folder in DIR."),
    ] = None,
) -> None:
    """Compare two traces of a pixel, and name the first factor that differs; exit code 1 if one does."""
    from nbnumba.cli.compare_traces import TraceOptions, compare_trace_files

    options = TraceOptions(rtol=rtol, max_dhkl=max_dhkl, json=json, csv=csv, markdown=markdown, bundle=bundle)
    raise typer.Exit(0 if compare_trace_files(a, b, options) else 1)


@app.command("demo", rich_help_panel="Simulate")
def _demo(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for the files; created if missing.")] = Path(
        "demo"
    ),
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Simulate a lysozyme nanocrystal in a water jet, and draw the image: FOLDER/lysozyme.png."""
    from nbnumba.cli.demo import demo

    demo(folder, device)


@app.command("alias", rich_help_panel="This installation")
def _alias(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the program; created if missing.")],
) -> None:
    """Write a program named nanoBragg that is 'nbnumba run', for scripts that call nanoBragg."""
    from nbnumba.cli.alias import write_alias

    write_alias(folder)


_BENCH_HELP = (
    "Time the kernel that renders an image, warm, and print steps per second, ns per step and core, and pixels per "
    "second.\n\n"
    "Takes the flags of 'nbnumba run'; without a crystal the experiment is that of 'nbnumba demo'. No image is written."
)


@flag_command(app, "bench", parse_bench, BENCH_FLAGS, _BENCH_HELP, needs_words=False, panel="This installation")
def _bench(request: BenchRequest) -> None:
    from nbnumba.cli.bench import bench

    bench(request)


@app.command("info", rich_help_panel="This installation")
def _info() -> None:
    """Print versions, threads, vector width, devices and the folder of compiled kernels."""
    from nbnumba.cli.info import info

    info()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done; 1: an error, reported in one sentence; 2: wrong usage; 130, 143: stopped by Ctrl-C or SIGTERM.

    Parameters
    ----------
    arguments : sequence of str or None
        The words after the program's name; None: those of the process, whose streams and signals are then prepared.
    """
    if arguments is None:
        start.prepare()
        # a million objects are created while modules load, and hardly any is garbage: collect it less often
        gc.set_threshold(200_000, 20, 20)
    words = list(sys.argv[1:] if arguments is None else arguments)
    with interrupt.handled():
        try:
            code = _run_app(words, "--debug" in words)
            problem = start.flush_output() if arguments is None else None
            if problem is not None and code == 0:
                code = failures.output_failed(problem)
        except KeyboardInterrupt:  # while an error was being reported
            code = failures.stopped()
    if arguments is None:
        gc.freeze()  # the process ends: no garbage has to be collected any more
        if is_left_running():
            os._exit(code)  # without waiting for the kernel
    return code


def _run_app(words: list[str], debug: bool) -> int:
    """Run the command; returns its exit code, also for errors."""
    try:
        code = _call(words)
        # Typer turns an interrupt into its exit code
        return failures.stopped() if interrupt.received or code == 130 else (code if isinstance(code, int) else 0)
    except KeyboardInterrupt:
        return failures.stopped()
    except typer.Abort:
        return failures.stopped() if interrupt.received else failures.fail("aborted")
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 1
    except Exception as error:
        if interrupt.received:  # libraries turn an interrupt in a callback into other errors
            return failures.stopped()
        if debug:
            failures.say(traceback.format_exc().rstrip())
        commands = [command.name or "" for command in app.registered_commands]
        return failures.explain(error, debug, words, commands)


def _call(words: list[str]) -> object:
    """Call the command that the words name.

    A plain run bypasses Typer, which would use the same parser, but first examines every flag of every command: that
    takes a fifth of the time of a small image.
    """
    if words[:1] == ["run"] and words[1:] and not {"--help", "-h"} & set(words):
        _simulate(parse(with_files(words[1:])))
        return 0
    return app(args=words, prog_name="nbnumba", standalone_mode=False)
