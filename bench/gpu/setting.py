"""Options that all steps of a run share, passed to worker processes as JSON; and the time that is left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
RESULTS = ROOT / "bench" / "results"

#: Result of a case: figures by name. ``error``: why there are none; ``good``: whether a check was passed.
Record = dict[str, Any]
Records = Iterator[Record]


@dataclass(frozen=True)
class Setting:
    """Options of a run.

    Attributes
    ----------
    device : int
        Number of the GPU.
    out : str
        Folder of the results.
    name : str
        Stem of the files there: ``gpu-`` and the GPU's name.
    scratch : str
        Temporary folder, which holds the input files of the timed commands.
    processes : int
        Worker processes of the parity step.
    tiny : bool
        Render only some pixels of each image: to test the script where kernels are slow or do nothing.
    package : str
        CUDA package of the workers (NBNUMBA_CUDA); empty: the default.
    programs : tuple of str
        Builds of the reference's CUDA program.
    limit : float
        Seconds that a program started by a case may take.
    """

    device: int = 0
    out: str = ""
    name: str = ""
    scratch: str = ""
    processes: int = 1
    tiny: bool = False
    package: str = ""
    programs: tuple[str, ...] = ()
    limit: float = 600.0

    def to_json(self) -> str:
        """JSON for a worker's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Setting:
        """Inverse of :meth:`to_json`."""
        fields = json.loads(text)
        return cls(**fields | {"programs": tuple(fields["programs"])})


@dataclass(frozen=True)
class Deadline:
    """Time limit of a run; ``seconds`` None: no limit."""

    seconds: float | None = None
    begin: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.begin

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return float("inf") if self.seconds is None else self.seconds - self.elapsed
