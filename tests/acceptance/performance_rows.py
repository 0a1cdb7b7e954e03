"""Rows of the acceptance tests of speed, and of the tool that compares."""

from __future__ import annotations

from tests.acceptance.row import HOLDS, MISSED, NOT_FOR_US, PARTLY, Row

PERFORMANCE: dict[str, Row] = {
    "AT-PERF-001": Row(
        "throughput and size of the detector",
        MISSED,
        (),
        "The factor of 2 between 2048 and 256 pixels a side is missed, as by the C program (1.03): a warm renderer has "
        "nearly no time of its own for each image that large ones could share. The other limits hold.",
        "2048/256: 1.18 (109 to 128 Mpixel/s); 15.7 to 17.9 times the C program's; 4.0 to 4.1 bytes of memory a "
        "pixel from 1024 to 4096",
    ),
    "AT-PERF-002": Row(
        "threads and GPUs",
        PARTLY,
        (),
        "Four threads: not measured, the machine has two cores. A difference of at most 20 % from the C program's time is "
        "exceeded downwards. GPU: the row '16 Mpixel, one orientation' of an H200 in `bench/results/`.",
        "one thread: 9.1 times the C program's throughput; GPU: 3.4e10 steps/s, where one core of the C program does 7e6",
    ),
    "AT-PERF-003": Row(
        "memory, and speed of float32",
        MISSED,
        (),
        "The whole process is above 101 MB, since Python and its packages take 156 MB; the image adds 16 MB. float32 "
        "against float64 holds: `--precision mixed` and `double`.",
        "peak 182 MB, 16 MB of them for the image; float64/float32: 1.61",
    ),
    "AT-PERF-004": Row(
        "speed of the inner functions",
        HOLDS,
        (),
        "In the image of the text; the function alone, with two sines of the C library, does 5e7 a second. There is one "
        "compiled loop, in which no part can be told from another.",
        "3.9e8 grating functions/s, 1.0e9 dot products/s; 18 times the C program's throughput",
    ),
    "AT-PERF-005": Row(
        "gain by compiling",
        HOLDS,
        (),
        "Of 48 x 48 pixels, with NUMBA_DISABLE_JIT=1 and without. Compiling takes 13 s of one core, once after an "
        "installation; 1024 x 1024 pixels would take two minutes uncompiled.",
        "200 to 300 times as fast, equal to the last bit",
    ),
    "AT-PERF-006": Row(
        "no loops outside of tensors",
        NOT_FOR_US,
        (),
        "There are no tensors: all loops are compiled, and no array has a sub-pixel, layer or source for an axis.",
        "the command of the text, 60 sources: 5.7e8 steps/s, 39 times the C program's throughput",
    ),
    "AT-PERF-007": Row(
        "suite of benchmarks",
        NOT_FOR_US,
        (),
        "It asks for a script, files and columns by name. `python -m bench.cpu`, `python -m bench.gpu` and `nbnumba bench` "
        "are the suite here; their results are in `bench/results/`.",
        "memory of an image: 4.0 times as much for twice the side",
    ),
    "AT-PERF-008": Row(
        "large tensors stay on the GPU",
        NOT_FOR_US,
        (),
        "There are no tensors. The image is in the GPU's memory from the first term to the copy to the host or, with "
        "`render(out=...)`, for good.",
    ),
}

TOOLS: dict[str, Row] = {
    "AT-TOOLS-001": Row(
        "tool that compares two programs",
        HOLDS,
        ("test_command_line.test_tools_001_comparison", "test_against_c.test_tools_001_both_programs"),
        "`nbnumba compare --c-bin C --py-bin P -- FLAGS`; without `--py-bin` the second program is nbnumba. The same: "
        "`--roi`, `--resample`, `--c-bin`, `--py-bin`, NB_C_BIN, flags after `--`, correlation, root mean square and largest "
        "difference, sums and their ratio, both times. Named otherwise: `--outdir` is `--out`, `--threshold` is "
        "`--min-correlation`, `--save-diff` is `--pictures`, `summary.json` is `metrics.json`; logs and float images are "
        "kept with `--keep`. Otherwise: NB_PY_BIN is not read, the folder is the one that is named, `--png-scale` is missing, "
        "flags of output files are left out, there are more limits than that of the correlation, and the exit code is 1 for "
        "images that differ and for errors, 2 for wrong usage.",
    ),
}
