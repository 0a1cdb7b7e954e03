"""Cases of a step that misbehave, for tests/bench/test_gpu.py; run as a program: such a step, into a folder."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.gpu.setting import Deadline, Setting
from bench.gpu.steps import Step

BEHAVIOURS = ("works", "raises", "dies", "leaves", "hangs", "prints", "works again")


def behave(case: str, setting: Setting) -> Iterator[dict[str, Any]]:
    """Records of a case, as its name says."""
    yield {"pid": os.getpid(), "value": float("nan") if case == "works again" else 1.5}
    if case == "raises":
        raise ValueError("out of luck\nat length")
    if case == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if case == "leaves":
        print("a last word", file=sys.stderr, flush=True)
        os._exit(7)
    if case in ("hangs", "waits"):
        time.sleep(600)
    if case == "prints":
        print("this is no answer", flush=True)
        os.write(1, b"nor is this\n")


def make_step(*cases: str, **more: Any) -> Step:
    """A step of these cases."""
    return Step("odd", "", 1.0, "tests.bench.cases:behave", lambda setting: cases, **more)


def main() -> None:
    """Write the results of ``works`` and ``waits`` into the folder that is named."""
    from bench.gpu.pool import StepRun
    from bench.gpu.record import Recorder

    deadline, folder = Deadline(), Path(sys.argv[1])
    StepRun(
        make_step("works", "waits"), Setting(scratch=str(folder)), deadline, Recorder(folder / "r.jsonl", deadline)
    ).run()


if __name__ == "__main__":
    main()
