"""Render one image with one kernel in a separate process, for profilers, checkers and signals.

``python -m bench.gpu.subject``
"""

from __future__ import annotations

import argparse
import json
import os
import time

from bench.gpu.commands import SMALL, SUBJECTS, shape_of, subject_renderer, wake
from bench.gpu.package import cuda_module
from bench.gpu.setting import Setting
from nbnumba.render.timing import count_steps

#: Seconds for which long images are rendered, if nothing ends the process.
LONGEST = 60.0


def main() -> None:
    """Render, and print the record of it as a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kernel", choices=list(SUBJECTS))
    parser.add_argument("--setting", required=True, type=Setting.from_json)
    parser.add_argument("--small", action="store_true", help="48 x 48 pixels")
    parser.add_argument("--long", action="store_true", help="render images of many seconds until the process is ended")
    parser.add_argument("--profile", action="store_true", help="let a profiler record the second image only")
    options = parser.parse_args()
    wake(options.setting)
    begin = time.perf_counter()
    more = SMALL if options.small else SUBJECTS[options.kernel].long if options.long else ""
    renderer, inputs = subject_renderer(options.kernel, options.setting, more)
    prepared = time.perf_counter() - begin
    image = renderer.new_image(shape_of(inputs))
    if options.long:
        render_until_interrupted(renderer, image)
        return
    renderer.render(image)
    if options.profile:
        cuda = cuda_module()
        with cuda.gpus[options.setting.device]:
            cuda.profile_start()
            renderer.render(image)
            cuda.profile_stop()
    print(json.dumps({"kernel": options.kernel, "steps": count_steps(inputs), "prepare_s": prepared}), flush=True)
    os._exit(0)  # as the worker: no messages of packages that are torn down after the driver


def render_until_interrupted(renderer, image) -> None:
    """Render long images; print when the first begins, and how many were rendered until SIGINT."""
    images, begin = 0, time.perf_counter()
    print("rendering", flush=True)
    try:
        while time.perf_counter() - begin < LONGEST:
            renderer.render(image, lambda share: None)
            images += 1
    except KeyboardInterrupt:
        # monotonic() has the same origin in all processes
        print(json.dumps({"images_before": images, "interrupted_at": time.monotonic()}), flush=True)
        raise


if __name__ == "__main__":
    main()
