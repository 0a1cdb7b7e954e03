"""What the user is told when a command ends in an error or is stopped: one sentence on stderr, and the exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Sequence

from nbnumba.cli import interrupt, usage
from nbnumba.errors import NbnumbaError, UsageError, first_line, one_line
from nbnumba.io.files import cause, discard_left


def explain(error: Exception, debug: bool, words: Sequence[str], commands: Sequence[str]) -> int:
    """Print one sentence about the error in which the command ended; returns the exit code.

    Parameters
    ----------
    debug : bool
        Whether the traceback has been printed.
    words : sequence of str
        The words after the program's name.
    commands : sequence of str
        Names of all commands.
    """
    if isinstance(error, NbnumbaError):
        return fail(str(error), 2 if isinstance(error, UsageError) else 1)
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # of Typer: unknown command, wrong option
        return fail(usage.wrong_call(error.format_message(), words, commands), error.exit_code)
    if isinstance(error, MemoryError):
        return fail(f"not enough memory for this image: {error}".rstrip(": ") + "; fewer pixels need less of it")
    if _is_shortage(error):
        return fail(f"not enough memory, or too many processes: {first_line(error)} (ulimit -a shows the limits)")
    if isinstance(error, OSError) and error.filename is not None:
        return fail(f"{error.strerror}: {error.filename}")
    if isinstance(error, FileNotFoundError) and not _has_place():
        return fail("the folder in which the command was started has been removed")
    if isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF):
        return output_failed(error)  # files are named, streams are not
    hint = "" if debug else "; run again with --debug to see where, and please report it"
    return fail(f"unexpected {type(error).__name__}: {first_line(error)}{hint}")


def output_failed(error: OSError) -> int:
    """Report that standard output cannot be written, unless its reader has closed it; returns the exit code."""
    return 1 if error.errno == errno.EPIPE else fail(f"cannot write to the standard output: {cause(error)}")


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


def fail(message: str, code: int = 1) -> int:
    """Print an error; returns the exit code."""
    say(f"nbnumba: error: {one_line(message)}")
    return code


def say(text: str) -> None:
    """Print on stderr; a closed or full stderr is ignored."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)


def stopped() -> int:
    """Report Ctrl-C or SIGTERM with the files that are complete; returns the exit code."""
    discard_left()
    written = interrupt.complete_files()
    number = interrupt.received[-1] if interrupt.received else signal.SIGINT
    what = f"complete files: {', '.join(map(str, written))}" if written else "no file was written"
    say("\n" + one_line(f"interrupted; {what}"))
    return 128 + number
