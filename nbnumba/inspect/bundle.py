"""A folder of evidence: files that belong together, with their digests, in a new folder each time."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from nbnumba.errors import FileError
from nbnumba.io.files import cause

#: File of the digests, as ``sha256sum --check`` reads it.
DIGESTS = "SHA256SUMS"


def write_bundle(parent: Path, files: Mapping[str, bytes]) -> Path:
    """Write files and their digests into a new folder below ``parent``, named by the time.

    Parameters
    ----------
    parent : Path
        Made if it is missing; nothing that lies in it is touched.
    files : dict of bytes
        Content by name.

    Returns
    -------
    Path
        The new folder. It gets its name when it is complete.

    Raises
    ------
    FileError
        A folder or file cannot be written.
    """
    digests = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    unfinished = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".nbnumba-", suffix=".tmp", dir=parent))
        for name, content in {**files, DIGESTS: digests.encode()}.items():
            (unfinished / name).write_bytes(content)
        unfinished.chmod(0o755)
        return _named_by_time(unfinished, parent)
    except OSError as error:
        raise FileError(f"cannot write a folder in {parent}: {cause(error)}") from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)


def _named_by_time(folder: Path, parent: Path) -> Path:
    """Give a folder the first free name of this second."""
    now = f"{datetime.now():%Y%m%d-%H%M%S}"
    number = 1
    while True:
        name = parent / (now if number == 1 else f"{now}-{number}")
        try:
            name.mkdir()  # another process cannot take it any more; a rename replaces an empty folder
        except FileExistsError:
            number += 1
            continue
        os.rename(folder, name)
        return name
