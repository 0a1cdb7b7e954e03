"""What a reader saw in a file and did not use, in one line for the log."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def unused_note(path: Path | str, things: Iterable[str]) -> tuple[str, ...]:
    """One sentence that names these things of a file, each once; none if there is none.

    Parameters
    ----------
    things : iterable of str
        Each as the file names it, with its value where that helps: ``Detector_2theta 20 deg``.
    """
    named = list(dict.fromkeys(things))
    if not named:
        return ()
    listed = ", ".join(named[:-1]) + (" and " if len(named) > 1 else "") + named[-1]
    return (f"{path} also has {listed}, not used",)
