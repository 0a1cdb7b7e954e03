"""Start of the process: prepare signals and standard streams before large modules are imported.

Before the command's handlers are set (:mod:`nbnumba.cli.interrupt`), and after they are removed, Ctrl-C ends the
process at once, without a traceback.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys


def main() -> int:
    """Run the command line of this process and return its exit code (:func:`nbnumba.cli.main.main`)."""
    prepare()
    from nbnumba.cli.main import main as run

    return run()


def prepare() -> None:
    """Let Ctrl-C end the process, unless the shell ignores it, and open standard streams that are closed.

    Otherwise a file opened later would get the number of a closed stream, and libraries would print into it. Characters
    that the terminal's encoding lacks are shown as escapes.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> OSError | None:
    """Flush stdout; returns the error, if there is one.

    After an error stdout is redirected to the null device: the interpreter would flush it again at its end, and
    complain.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            number = sys.stdout.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
        return error
    return None
