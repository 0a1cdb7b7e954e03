"""``nbnumba alias``: a program named nanoBragg, for scripts that call that one."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import typer

import nbnumba
from nbnumba.errors import FileError
from nbnumba.io.files import atomic_write, cause

NAME = "nanoBragg"
_MARK = "by 'nbnumba alias'"
_SCRIPT = """#!/bin/sh
# nanoBragg's command line, simulated by nbnumba {version}; written {mark}
exec {python} -P -m nbnumba.cli.nanobragg "$@"
"""


def write_alias(folder: Path) -> None:
    """Write an executable ``nanoBragg`` into a folder, and say how to call it.

    Raises
    ------
    FileError
        The folder or the file cannot be written, or the file is another program's.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path) and _MARK.encode() not in path.read_bytes()[:400]:
            raise FileError(f"{path} is another program, which is left as it is: give another folder")
        text = _SCRIPT.format(version=nbnumba.__version__, mark=_MARK, python=shlex.quote(sys.executable))
        with atomic_write(path) as handle:
            handle.write(os.fsencode(text))
        path.chmod(0o755)
    except OSError as error:
        raise FileError(f"cannot write {path}: {cause(error)}") from error
    known = [os.path.abspath(each) for each in os.get_exec_path()]
    found = os.path.abspath(folder) in known
    typer.echo(
        f"wrote {path}" + ("" if found else f"; the shell finds it after: export PATH={folder.absolute()}:$PATH")
    )
