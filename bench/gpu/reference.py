"""Step ``reference``: time the reference's CUDA program on the same commands, and compare its images."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.gpu.commands import deviation, find_device, prepare, renderer_on, shape_of, timed
from bench.gpu.setting import Records, Setting
from bench.gpu.timings import CHECKED_STEPS
from nbnumba.render.timing import count_steps, time_images

#: At a phi of 0 the reference renders the cell of the step before it.
NONZERO_PHI = "-phi 1"
#: Runs of the whole image, and of one pixel; the difference of the fastest ones is the time of rendering.
REPEAT = 2
ONE_PIXEL = "-roi 0 0 0 0"


def compare(case: str, setting: Setting) -> Records:
    """Time both programs on a command, and compare their images with each other and with float64."""
    program_name, command = case.split(": ", 1)
    name, precision = program_name.rsplit(" ", 1)
    program = next(path for path in setting.programs if Path(path).name == name)
    flags, device = f"{timed()[command]} {NONZERO_PHI}", find_device(setting.device)
    inputs = prepare(flags, setting)
    renderer = renderer_on(inputs, device)
    image = renderer.new_image(shape_of(inputs))
    ours = time_images([renderer], [image], 10, 0).median
    with tempfile.TemporaryDirectory(dir=setting.scratch) as folder:
        theirs, started, output = time_program(program, f"{flags} -precision {precision}", folder, setting)
    seconds = theirs - started
    yield {
        "kernel": renderer.plan.kernel,
        "image_s": ours,
        "reference_s": seconds,
        "reference_process_s": theirs,
        "ratio": seconds / ours if ours else None,
    }
    if setting.tiny or output.size != image.size:
        yield {"error": f"the reference's image has {output.size} pixels, nbnumba's {image.size}: not compared"}
        return
    output = output.reshape(image.shape).astype(float)
    found = {"deviation_of_ours_from_it": deviation(image, output)}
    if count_steps(inputs) <= CHECKED_STEPS:
        exact = renderer.new_image(image.shape)
        renderer_on(inputs, device, "double").render(exact)
        wanted = exact.astype(float)
        found |= {"our_deviation": deviation(image, wanted), "its_deviation": deviation(output, wanted)}
    yield found


def time_program(program: str, flags: str, folder: str, setting: Setting) -> tuple[float, float, np.ndarray]:
    """Least seconds of the whole process, the same with one pixel only, and the image.

    Raises
    ------
    RuntimeError
        The program fails or takes too long.
    """
    for file in Path(setting.scratch).glob("*.*"):  # commands name input files without a folder
        if file.is_file():
            (Path(folder) / file.name).write_bytes(file.read_bytes())
    quiet = "-nonoise -nopgm -noprogress -floatfile reference.bin -intfile reference.img"
    times: dict[str, list[float]] = {ONE_PIXEL: [], "": []}
    for _ in range(REPEAT):
        for more, found in times.items():
            words = [program, *shlex.split(f"{flags} {quiet} {more}")]
            begin = time.perf_counter()
            # in the process group of the worker, with which it is ended
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, errors="replace", timeout=30)
            found.append(time.perf_counter() - begin)
            if done.returncode != 0:
                raise RuntimeError(
                    f"{program} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}"
                )
    image = np.fromfile(Path(folder) / "reference.bin", "<f4")
    return min(times[""]), min(times[ONE_PIXEL]), image
