"""A worker process: reads cases from stdin, runs them and prints lines of JSON; ``python -m bench.gpu.worker``.

A request is ``{"target": "module:function", "case": ...}``. For each record of the case ``{"record": ...}`` is printed,
at its end ``{"done": ..., "healthy": ...}``: whether the device still works. The process ends with its stdin, without
Python's clean-up: the driver frees everything, and some packages print errors if the driver ends before them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

from bench.gpu.setting import Setting


def run_case(target: str, case: str, setting: Setting) -> Any:
    """Records of a case."""
    module, function = target.split(":")
    return getattr(importlib.import_module(module), function)(case, setting)


def describe(error: BaseException) -> dict[str, Any]:
    """A failure as a record: its first line, and where it came from."""
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": text[:500], "where": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-6:]]}


def is_healthy(setting: Setting) -> bool:
    """Whether the device still copies: an illegal address ends a process's use of it."""
    import numpy as np

    from bench.gpu.package import cuda_module

    try:
        cuda = cuda_module()
        with cuda.gpus[setting.device]:
            numbers = np.arange(8, dtype=np.float32)
            return bool(np.array_equal(cuda.to_device(numbers).copy_to_host(), numbers))
    except Exception:  # whatever the cause, the process cannot be used any more
        return False


def main() -> None:
    """Run requests until stdin ends."""
    setting = Setting.from_json(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to stderr

    def answer(record: dict[str, Any]) -> None:
        print(json.dumps(record), file=answers, flush=True)

    for line in sys.stdin:
        order = json.loads(line)
        try:
            for record in run_case(order["target"], order["case"], setting):
                answer({"record": record})
            answer({"done": True, "healthy": True})
        except Exception as error:  # reported in the record, and the run continues
            answer({"record": describe(error)})
            answer({"done": False, "healthy": is_healthy(setting)})
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
