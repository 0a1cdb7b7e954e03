"""The flags of ``nbnumba run`` for output, readout and execution; a part of the table in ``flag_table``."""

from __future__ import annotations

from nbnumba.cli.flags import count, file, flag, number, panel, switch
from nbnumba.model.editions import PHYSICS

#: Words of --dtype -> words of --precision.
_PRECISIONS = {"float32": "mixed", "float64": "double"}
_PRINTOUT = "has no effect by itself: name the pixel with -printout_pixel"


def _fast_slow_to_slow_fast(pixel: tuple[int, int]) -> tuple[int, int]:
    return pixel[1], pixel[0]


OUTPUT = panel(
    "Output",
    file("-floatfile", "outputs.floatfile", "Image as 4-byte floats.", also="-floatimage", default="floatimage.bin"),
    file("-intfile", "outputs.intfile", "Image as SMV.", also="-intimage", default="intimage.img"),
    file(
        "-noisefile",
        "outputs.noisefile",
        "Photon counts with noise, as SMV.",
        also="-noiseimage",
        sets=(("outputs.noise", True),),
        default="noiseimage.img",
    ),
    file(
        "-pgmfile",
        "outputs.pgmfile",
        "Image as 8-bit PGM.",
        also="-pgmimage",
        sets=(("outputs.pgm", True),),
        default="image.pgm",
    ),
    switch("-nonoise", "No noise file.", ("outputs.noise", False)),
    switch("-nopgm", "No PGM file.", ("outputs.pgm", False)),
    number("-scale", "outputs.scale", "", "Scale of -intfile. Default: fills its range."),
    number(
        "-pgmscale", "outputs.pgmscale", "", "Scale of -pgmfile. Default: by the image.", sets=(("outputs.pgm", True),)
    ),
    number(
        "-adc",
        "outputs.adc_offset",
        "counts",
        "Added to every pixel of SMV files.",
        metavar="X",
        also="-adcoffset",
        stems="-adc",
        default="40",
    ),
    count("-seed", "outputs.seed", "Seed of the noise.", default="the time"),
    flag(
        "--rng",
        "choice",
        "outputs.rng",
        "Random numbers of the noise: as in the reference, or fast.",
        metavar="reference|philox",
        choices=("reference", "philox"),
        default="reference",
    ),
    flag(
        "--smv",
        "choice",
        "outputs.smv",
        "Header of the SMV files: as in the reference, or one that DIALS places exactly.",
        metavar="reference|adsc",
        choices=("reference", "adsc"),
        default="reference",
    ),
    file("--cbf", "outputs.cbf", "Counts as miniCBF, too; with noise unless -nonoise."),
    file("--nexus", "outputs.nexus", "Counts as NXmx (HDF5), too."),
    file("--npy", "outputs.npy", "Counts as NumPy array, too."),
    file("--truth", "outputs.truth", "Reflection of each pixel and a list of spots (HDF5), too."),
    file("--preview", "outputs.preview", "Write a picture (PNG), too."),
    file("--json", "outputs.json", "Write a record of the run as JSON, too."),
)

READOUT = panel(
    "Detector readout",
    number("--gain", "outputs.gain", "counts/photon", "Counts per photon.", metavar="X", default="1"),
    count("--saturation", "outputs.saturation", "Largest count, the offset included.", default="65535"),
    number("--read-noise", "outputs.read_noise", "counts", "Standard deviation of the read noise.", default="0"),
    number(
        "--flicker", "outputs.flicker_percent", "%", "Flicker of the beam, for every pixel.", metavar="PC", default="0"
    ),
    number(
        "--calibration",
        "outputs.calibration_percent",
        "%",
        "Error of the pixels' sensitivity, the same in every image.",
        metavar="PC",
        default="0",
    ),
    count(
        "--calibration-seed",
        "outputs.calibration_seed",
        "Seed of sensitivity and dead pixels.",
        default="123456789",
    ),
    flag(
        "--psf",
        "choice",
        "outputs.psf",
        "Shape of the point spread.",
        metavar="gauss|fiber",
        choices=("gauss", "fiber"),
        default="gauss",
    ),
    number("--psf-fwhm", "outputs.psf_fwhm_um", "µm", "Width of the point spread at half maximum.", default="0"),
    number("--dead", "outputs.dead_percent", "%", "Share of dead pixels.", metavar="PC", default="0"),
)

RUN = panel(
    "Run",
    flag("--device", "device", "run.device", "auto, cpu, cuda, cuda:N or cuda:all.", metavar="NAME", default="auto"),
    flag(
        "--precision",
        "choice",
        "run.precision",
        "Arithmetic: auto, double or mixed.",
        metavar="NAME",
        choices=("auto", "double", "mixed"),
        default="auto",
    ),
    flag(
        "--dtype",
        "choice",
        "run.precision",
        "The same by the type of numbers: float32 is mixed, float64 double.",
        metavar="NAME",
        choices=tuple(_PRECISIONS),
        convert=_PRECISIONS.__getitem__,
    ),
    flag(
        "--physics",
        "choice",
        "simulation.physics",
        "released: nanoBragg's image, odd rules included. reference: the cell at phi = 0 mended. upstream: all proposed "
        "corrections. correct: no odd rule.",
        metavar="NAME",
        choices=PHYSICS,
        default="reference",
    ),
    count("--threads", "run.threads", "CPU threads. Default: one per core."),
    switch("--dry-run", "Print the resolved experiment; write it with --json, else nothing.", ("run.dry_run", True)),
    switch("--show-config", "Print the resolved configuration as JSON first.", ("run.show_config", True)),
    switch("--lenient", "Warn about unknown flags instead of stopping.", ("run.lenient", True)),
    switch("--debug", "Show the traceback of an error.", ("run.debug", True)),
    switch("--quiet", "Only warnings and errors.", ("run.quiet", True), also="-q"),
    switch("-progress", "Progress bar on a terminal (the default).", ("run.progress", True)),
    switch("-noprogress", "No progress bar.", ("run.progress", False)),
    switch("-printout", "Pixel values; see 'nbnumba trace'.", ("trace.printout", True), note=_PRINTOUT),
    flag(
        "-printout_pixel",
        "ints",
        "trace.pixel",
        "As -trace_pixel, fast index first.",
        metavar="F S",
        count=2,
        convert=_fast_slow_to_slow_fast,
    ),
    flag("-trace_pixel", "ints", "trace.pixel", "Print every factor of a pixel.", metavar="S F", count=2),
)
