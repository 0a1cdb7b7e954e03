"""The command line: the Typer app, its commands, and what a failure looks like to the user."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import nbnumba
from nbnumba.cli import interrupt
from nbnumba.cli.command import INVOCATION, FlagCommand, with_flags
from nbnumba.cli.flag_table import FLAGS
from nbnumba.errors import NbnumbaError, UsageError

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
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


_RUN_HELP = (
    "Simulate an image from nanoBragg's flags and write nanoBragg's files.\n\n"
    "A crystal (-mat or -cell) and structure factors (-hkl, -default_F or an earlier Fdump.bin) are needed, all else has "
    "a default. Flags take one dash or two (-distance 100, --distance 100); options shown with two dashes are nbnumba's "
    "own. Of flags that contradict one another the last one counts."
)


@app.command("run", cls=FlagCommand, help=_RUN_HELP, options_metavar="FLAGS")
@with_flags(FLAGS)
def _run(ctx: typer.Context) -> None:
    from nbnumba.cli.run import run  # NumPy and Numba load here, so that the help need not wait for them

    run(ctx.meta[INVOCATION])


@app.command("demo")
def _demo(
    folder: Annotated[Path, typer.Argument(help="Where the files go; made if need be.")] = Path("demo"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Simulate a lysozyme nanocrystal in a water jet, and draw the image: FOLDER/lysozyme.png."""
    from nbnumba.cli.demo import demo

    demo(folder, device)


@app.command("info")
def _info() -> None:
    """Print versions, threads, vector width and the folder of compiled kernels, for reports and for yourself."""
    from nbnumba.cli.info import info

    info()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done; 1: an error, told in one sentence; 2: wrong usage; 130, 143: stopped by Ctrl-C or SIGTERM.

    Parameters
    ----------
    arguments : sequence of str or None
        The words after the program's name; None: those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    with interrupt.handled():
        return _run_app(words, debug)


def _run_app(words: list[str], debug: bool) -> int:
    """Exit code of the command, whatever it ends with."""
    try:
        code = app(args=words, prog_name="nbnumba", standalone_mode=False)
        # Typer turns an interrupt into its exit code
        return _stopped() if interrupt.received or code == 130 else (code if isinstance(code, int) else 0)
    except BrokenPipeError:
        return 1  # whoever read our output has gone: not worth a word
    except KeyboardInterrupt:
        return _stopped()
    except typer.Abort:
        return _stopped() if interrupt.received else _fail("aborted")
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _explain(error, debug)


def _explain(error: Exception, debug: bool) -> int:
    """One sentence for the error, and the exit code."""
    if isinstance(error, NbnumbaError):
        return _fail(str(error), 2 if isinstance(error, UsageError) else 1)
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # Typer's own: unknown command, wrong option
        return _fail(error.format_message(), error.exit_code)
    if isinstance(error, MemoryError):
        return _fail(f"not enough memory for this image: {error}".rstrip(": ") + "; fewer pixels need less of it")
    if isinstance(error, OSError) and error.filename is not None:
        return _fail(f"{error.strerror}: {error.filename}")
    hint = "" if debug else "; run again with --debug to see where, and please report it"
    return _fail(f"unexpected {type(error).__name__}: {error}{hint}")


def _fail(message: str, code: int = 1) -> int:
    print(f"nbnumba: error: {message}", file=sys.stderr)
    return code


def _stopped() -> int:
    """What is said after Ctrl-C or SIGTERM; files appear only when they are complete."""
    run = sys.modules.get("nbnumba.cli.run")  # not loaded: nothing can have been written
    written = run.completed if run is not None else []
    number = interrupt.received[-1] if interrupt.received else signal.SIGINT
    what = f"complete files: {', '.join(map(str, written))}" if written else "no file was written"
    print(f"\ninterrupted; {what}", file=sys.stderr)
    return 128 + number
