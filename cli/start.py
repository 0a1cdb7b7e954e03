"""Where the process begins: signals and standard streams are put in order before anything heavy is loaded.

Between the interpreter's first steps and the command's own handlers (:mod:`nbnumba.cli.interrupt`), and again after
them, Ctrl-C ends the process as it ends any other program: at once, without a traceback.
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
    """Let Ctrl-C end the process, unless the shell had it ignored, and open what standard streams were closed.

    A file opened later would take the number of a closed stream, and with it what libraries print there. Characters
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
    """Send out what waits in stdout; returns what went wrong.

    After that the rest goes nowhere: the interpreter would try again when it ends, and complain.
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
