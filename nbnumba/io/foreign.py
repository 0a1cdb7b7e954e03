"""Images of other programs, by fabio, in a process of its own.

Problem: fabio reads some thirty formats, and a damaged file can make some of its readers, or the libraries that they
call, loop forever, crash or take all memory. Choice: fabio runs in a process with limits, which passes the pixels on as
a NumPy array. Cost: half a second for an image. The common formats (SMV, CBF, PGM, ``.npy``) have readers of their own.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from nbnumba.errors import FileError, first_line
from nbnumba.io.npy import parse_npy

#: Limits for an image: processor time, and memory as a constant plus a multiple of the file's size.
CPU_SECONDS = 60
MEMORY_FLOOR, MEMORY_MULTIPLE = 4 << 30, 100
_COMMAND = "import sys; from nbnumba.io.foreign import serve; sys.exit(serve(sys.argv[1], int(sys.argv[2])))"
_REFUSED = 3


def read_foreign(path: Path) -> np.ndarray:
    """Pixels of the first image of a file, as fabio gives them.

    Raises
    ------
    FileError
        fabio does not read the format, the file is damaged, or reading it takes too much time or memory.
    """
    command = [sys.executable, "-c", _COMMAND, os.fspath(path), str(CPU_SECONDS)]
    # the same nbnumba, also from a checkout that is not installed
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
    except (OSError, ValueError) as error:
        raise FileError(f"cannot start a process to read {path}: {error}") from error
    if done.returncode == 0:
        return parse_npy(done.stdout, f"the image {path}")
    if done.returncode == _REFUSED:
        reason = done.stderr.decode(errors="replace").strip().split("\n")[-1]
    elif done.returncode == -getattr(signal, "SIGXCPU", 0):
        reason = f"its reader did not finish within {CPU_SECONDS} s"
    else:
        reason = f"its reader crashed (status {done.returncode}); the file is damaged"
    raise FileError(f"{path} is in no format that can be read: {reason}")


def serve(path: str, seconds: int) -> int:
    """Write the pixels of an image to standard output; returns the exit status."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print goes to stderr
    try:
        _limit(seconds, os.path.getsize(path))
        import fabio

        data = fabio.open(path).data
        if data is None:
            raise ValueError("it holds no pixels")
        memory = io.BytesIO()  # NumPy asks for the position in the file, which a pipe does not have
        np.lib.format.write_array(memory, np.ascontiguousarray(data), allow_pickle=False)
        output.write(memory.getbuffer())
        output.close()
    except Exception as error:  # fabio's readers raise exceptions of any class
        print(first_line(error), file=sys.stderr)
        return _REFUSED
    return 0


def _limit(seconds: int, size: int) -> None:
    """Limits of this process, where the system has them."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = MEMORY_FLOOR + MEMORY_MULTIPLE * size
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
