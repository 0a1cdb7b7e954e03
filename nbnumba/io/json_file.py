"""Records as JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.io.files import atomic_write


def json_text(content: Any) -> str:
    """``content`` as JSON; NaN and infinity become null, what JSON does not know becomes text."""
    return json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False)


def write_json(path: Path, content: Any) -> None:
    """Write :func:`json_text`. The file gets its name when it is complete.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    with atomic_write(path) as handle:
        # a name may hold bytes that are not UTF-8: JSON's escapes restore them
        handle.write(f"{json_text(content)}\n".encode("utf-8", "backslashreplace"))


def _plain(value: Any) -> Any:
    """``value`` in types that JSON has."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)
