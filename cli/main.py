"""The command line: the Typer app, its commands, and the messages and exit codes of errors."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import nbnumba
from nbnumba.cli import interrupt, start, usage
from nbnumba.cli.bench_flags import BENCH_FLAGS, BenchRequest, parse_bench
from nbnumba.cli.command import flag_command
from nbnumba.cli.compare_flags import FLAGS_KEY, CompareCommand, CompareOptions
from nbnumba.cli.flag_table import FLAGS
from nbnumba.cli.parse import Invocation, parse, with_files
from nbnumba.cli.series_flags import SERIES_FLAGS, SeriesRequest, parse_series
from nbnumba.cli.trace_flags import TRACE_FLAGS, TraceRequest, parse_trace
from nbnumba.errors import NbnumbaError, UsageError, first_line, one_line
from nbnumba.io.files import cause, discard_left
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
    "of nbnumba. Of flags that contradict one another the last one counts."
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
    "nbnumba trace SLOW FAST FLAGS, with the flags of 'nbnumba run'. The lines (TRACE_PY: key value) can be compared "
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


_COMPARE_HELP = (
    "Compare two images: numbers into metrics.json, a picture into comparison.png; exit code 1 if they differ.\n\n"
    "nbnumba compare A B compares files: SMV, CBF, npy, other formats that fabio reads, and bare floats (.bin). With the "
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
    shape: Annotated[tuple[int, int] | None, typer.Option(help="Size of bare floats.", metavar="SLOW FAST")] = None,
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
    )
    against = against or c_bin
    flags, given = ctx.meta.get(FLAGS_KEY), files or []
    if against is not None or (flags is not None and not given):
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
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the comparison as data.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write it as a table.")] = None,
) -> None:
    """Compare two traces of a pixel, and name the first factor that differs; exit code 1 if one does."""
    from nbnumba.cli.compare_traces import compare_trace_files

    raise typer.Exit(0 if compare_trace_files(a, b, rtol, json, csv) else 1)


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
                code = _output_failed(problem)
        except KeyboardInterrupt:  # while an error was being reported
            code = _stopped()
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
        return _stopped() if interrupt.received or code == 130 else (code if isinstance(code, int) else 0)
    except KeyboardInterrupt:
        return _stopped()
    except typer.Abort:
        return _stopped() if interrupt.received else _fail("aborted")
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 1
    except Exception as error:
        if interrupt.received:  # libraries turn an interrupt in a callback into other errors
            return _stopped()
        if debug:
            _say(traceback.format_exc().rstrip())
        return _explain(error, debug, words)


def _call(words: list[str]) -> object:
    """Call the command that the words name.

    A plain run bypasses Typer, which would use the same parser, but first examines every flag of every command: that
    takes a fifth of the time of a small image.
    """
    if words[:1] == ["run"] and words[1:] and not {"--help", "-h"} & set(words):
        _simulate(parse(with_files(words[1:])))
        return 0
    return app(args=words, prog_name="nbnumba", standalone_mode=False)


def _explain(error: Exception, debug: bool, words: Sequence[str]) -> int:
    """Print one sentence about the error in which the command ended; returns the exit code."""
    if isinstance(error, NbnumbaError):
        return _fail(str(error), 2 if isinstance(error, UsageError) else 1)
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # of Typer: unknown command, wrong option
        commands = [command.name or "" for command in app.registered_commands]
        return _fail(usage.wrong_call(error.format_message(), words, commands), error.exit_code)
    if isinstance(error, MemoryError):
        return _fail(f"not enough memory for this image: {error}".rstrip(": ") + "; fewer pixels need less of it")
    if _is_shortage(error):
        return _fail(f"not enough memory, or too many processes: {first_line(error)} (ulimit -a shows the limits)")
    if isinstance(error, OSError) and error.filename is not None:
        return _fail(f"{error.strerror}: {error.filename}")
    if isinstance(error, FileNotFoundError) and not _has_place():
        return _fail("the folder in which the command was started has been removed")
    if isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF):
        return _output_failed(error)  # files are named, streams are not
    hint = "" if debug else "; run again with --debug to see where, and please report it"
    return _fail(f"unexpected {type(error).__name__}: {first_line(error)}{hint}")


def _output_failed(error: OSError) -> int:
    """Report that standard output cannot be written, unless its reader has closed it; returns the exit code."""
    return 1 if error.errno == errno.EPIPE else _fail(f"cannot write to the standard output: {cause(error)}")


def _has_place() -> bool:
    """Whether the working folder still exists."""
    try:
        return bool(os.getcwd())
    except OSError:
        return False


def _is_shortage(error: Exception) -> bool:
    """Whether an error of a library means that the system refused memory or a thread."""
    chain: list[BaseException | None] = [error]
    while chain[-1] is not None and len(chain) < 10:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    text = "\n".join(map(str, chain))
    signs = ("annot allocate memory", "failed to map segment", "can't start new thread", "out of memory")
    return getattr(error, "errno", None) in (errno.ENOMEM, errno.EAGAIN) or any(sign in text for sign in signs)


def _fail(message: str, code: int = 1) -> int:
    _say(f"nbnumba: error: {one_line(message)}")
    return code


def _say(text: str) -> None:
    """Print on stderr; a closed or full stderr is ignored."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)


def _stopped() -> int:
    """Report Ctrl-C or SIGTERM with the files that are complete; returns the exit code."""
    discard_left()
    written = interrupt.complete_files()
    number = interrupt.received[-1] if interrupt.received else signal.SIGINT
    what = f"complete files: {', '.join(map(str, written))}" if written else "no file was written"
    _say("\n" + one_line(f"interrupted; {what}"))
    return 128 + number
