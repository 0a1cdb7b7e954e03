"""The flags of ``nbnumba run``: every spelling of the reference, its rules of order, and what users see of mistakes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbnumba.cli.bench_flags import parse_bench
from nbnumba.cli.build import RunOptions, build
from nbnumba.cli.flag_table import FLAGS, TABLE
from nbnumba.cli.flags import Flag, Table, count
from nbnumba.cli.parse import parse, with_files
from nbnumba.cli.series_flags import parse_series
from nbnumba.cli.trace_flags import parse_trace
from nbnumba.errors import UsageError
from nbnumba.model import config
from nbnumba.model.outputs import Outputs
from tests.conftest import CASES

ROOT = Path(__file__).parents[2]
CELL = ("-cell", "50")

# what the reference's help, README and scripts print, and the stems it compares with
HELP = """-mat -hkl -misset -cell -default_F -distance -detsize -detsize_f -detsize_s -detpixels -detpixels_x -detpixels_y
-pixel -img -mask -detector_absorb -detector_thick -detector_thicksteps -Xbeam -Ybeam -mosflm -denzo -xds -ORGX -ORGY
-twotheta -N -Na -Nb -Nc -xtalsize -square_xtal -round_xtal -gauss_xtal -tophat_spots -oversample -oversample_thick
-oversample_polar -oversample_omega -lambda -energy -mosaic -mosaic_domains -dispersion -dispsteps -hdivrange -vdivrange
-hdivstep -vdivstep -square_div -phi -osc -phisteps -water -floatfile -intfile -scale -adc -polar -noisefile -pgmfile
-pgmscale -nopgm -roi -printout -seed -mosaic_seed -misset_seed -fluence -flux -beamsize -exposure -nonoise -noprogress
-nopolar -nointerpolate -interpolate -point_pixel -curved_det -fdet_vector -sdet_vector -odet_vector -beam_vector
-polar_vector -spindle_axis -pix0_vector"""
README = """-hkl -matrix -cell -misset -Na -Nb -Nc -N -samplesize -sample_thick -sample_x -sample_width -sample_y
-sample_height -sample_z -img -distance -close_distance -detsize -detsize_x -detsize_y -pixel -detpixels -detpixels_x
-detpixels_y -Xbeam -Ybeam -Xclose -Yclose -ORGX -ORGY -detector_rotx -detector_roty -detector_rotz -twotheta -pivot
-xdet_vector -ydet_vector -zdet_vector -beam_vector -polar_vector -spindle_axis -twotheta_axis -pix0_vector -curved_det
-oversample -roi -mask -lambda -fluence -flux -exposure -beamsize -hdivrange -vdivrange -hdivstep -vdivstep -round_div
-square_div -dispersion -dispsteps -sourcefile -coherent -mosaic -mosaic_domains -phi -osc -phistep -phisteps -floatfile
-intfile -pgmfile -noisefile -nonoise -nopgm -scale -pgmscale -adcoffset -point_pixel -printout -noprogress
-nointerpolate -interpolate -round_xtal -square_xtal -binary_spots -seed -mosaic_seed"""
CODE = """-sample_size -xtal_size -sample_heigh -heigh -height -width -xtal_thick -xtal_x -xtal_width -xtal_y -xtal_heigh
-xtal_z -density -sample_den -sample_density -MW -molec -molecular_weight -adxv -dials -detector_abs -detector_absorption
-thicksteps -detpixels_f -detpixels_s -wave -wavelength -mosaici -mosaicity -mosaic_spr -mosaic_spread -mosaic_dom
-divergence -hdivsteps -vdivsteps -divsteps -dmin -dump -dumpfile -stol -4stol -Q -stolout -floatimage -intimage
-pgmimage -noiseimage -progress -fudge -printout_pixel -gauss_xtal -pix0_vector_mm -trace_pixel"""
SPELLINGS = sorted({*HELP.split(), *README.split(), *CODE.split()})
VALUES = {
    "switch": [],
    "int": ["3"],
    "float": ["1.5"],
    "vector": ["0", "0", "1"],
    "path": ["some.file"],
    "device": ["cpu"],
    "cell": ["10", "20", "30"],
    "misset": ["random"],
    "depth": ["inf"],
}
ORIGIN = {
    "beam": config.Beam,
    "crystal": config.Crystal,
    "detector": config.Detector,
    "scan": config.Scan,
    "structure_factors": config.StructureFactors,
    "sampling": config.Sampling,
    "background": config.Background,
    "simulation": config.Simulation,
    "outputs": Outputs,
    "run": RunOptions,
}


def values_of(flag: Flag) -> list[str]:
    """Words that ``flag`` accepts as its values."""
    if flag.kind == "choice":
        return [flag.choices[0]]
    return ["1"] * flag.count if flag.kind == "ints" else VALUES[flag.kind]


def values(*words: str) -> dict:
    """What a command line gives, by place."""
    return parse(words).values


# --- spellings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dashes", ["-", "--"])
@pytest.mark.parametrize("word", SPELLINGS)
def test_every_spelling_of_the_reference_is_accepted(word: str, dashes: str) -> None:
    flag = TABLE.find(word)
    assert flag is not None
    if dashes == "--" and word not in flag.spellings:  # a beginning, which counts with one dash
        assert TABLE.find(f"-{word}") is None
        return
    given_ = parse([dashes + word[1:], *values_of(flag)])
    assert all(dest in given_.values for dest in flag.dest)
    assert given_.values or flag.note


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_every_row_is_reachable_and_goes_to_a_field(flag: Flag) -> None:
    assert all(TABLE.find(word) is flag for word in flag.spellings)
    assert all(TABLE.find(stem + "zz") is flag for stem in flag.stems)
    assert flag.dest or flag.sets or flag.note
    for dest in (*flag.dest, *(dest for dest, _ in flag.sets)):
        part, _, name = dest.partition(".")
        if part in ("input", "trace") or dest in ("outputs.noise", "outputs.pgm"):
            continue
        assert name.partition("[")[0] in {entry.name for entry in fields(ORIGIN[part])}


def test_own_options_take_two_dashes_only() -> None:
    for flag in FLAGS:
        if flag.is_extension:
            assert TABLE.find(flag.name[1:]) is None


def test_a_spelling_used_twice_is_a_mistake_in_the_table() -> None:
    with pytest.raises(ValueError, match="-a is in the table twice"):
        Table((count("-a", "x.a", ""), count("-b", "x.b", "", also="-a")))


@pytest.mark.parametrize("name", CASES)
def test_golden_command_lines_are_understood(name: str) -> None:
    assert not parse(CASES[name]["args"]).warnings


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("-hdivr", "-hdivrange"),
        ("-vdivr", "-vdivrange"),
        ("-dispstep", "-dispsteps"),
        ("-lamda", "-lambda"),
        ("-na", "-Na"),
        ("-device", "--device"),
        ("--distanse", "-distance"),
        ("-detector_thickness", "-detector_thick"),
    ],
)
def test_unknown_flag_names_the_nearest(word: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"^unknown option {word}; did you mean {meant}\\?$"):
        parse([word, "1"])


def test_lenient_leaves_out_unknown_flags_with_their_values() -> None:
    known = parse(["-xyzzy", "1", "-2", "word", "-N", "5", "--lenient", "stray"])
    assert known.values["crystal.Na"] == 5
    assert len(known.warnings) == 2
    assert "-xyzzy" in known.warnings[0] and "1 -2 word" in known.warnings[0]


@pytest.mark.parametrize("words", [["-coherent"], ["-stolout", "a"]])
def test_flags_that_the_reference_never_uses_are_said_to_have_no_effect(words: list[str]) -> None:
    known = parse(words)
    assert not known.values
    assert re.match(f"{words[0]} has no effect", known.warnings[0])


# --- order -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "pivot", "convention"),
    [
        ("", None, None),
        ("-distance 50 -Xclose 1", "SAMPLE", None),
        ("-Xclose 1 -distance 50", "BEAM", None),
        ("-close_distance 50", "SAMPLE", None),
        ("-ORGX 5 -Ybeam 1", "BEAM", None),
        ("-ORGY 5", "SAMPLE", None),
        ("-twotheta 5 -pivot beam", "BEAM", None),
        ("-pivot beam -twotheta 5", "SAMPLE", None),
        ("-pivot sample", "SAMPLE", None),
        ("-xds", "SAMPLE", "XDS"),
        ("-xds -mosflm", "BEAM", "MOSFLM"),
        ("-xds -dials", "BEAM", "DIALS"),
        ("-twotheta_axis 0 0 1", "SAMPLE", "CUSTOM"),
        ("-spindle_axis 1 0 0 -adxv", "BEAM", "ADXV"),
        ("-denzo -spindle_axis 1 0 0", "BEAM", "CUSTOM"),
        ("-pix0_vector 0 0 1", None, "CUSTOM"),
    ],
)
def test_pivot_and_convention_follow_the_order_of_the_line(line: str, pivot: str, convention: str) -> None:
    known = parse(line.split())
    assert (known.pivot, known.convention) == (pivot, convention)


def test_last_one_wins() -> None:
    assert values("-N", "3", "-Na", "7") == {"crystal.Na": 7, "crystal.Nb": 3, "crystal.Nc": 3}
    assert values("-Na", "7", "-N", "3")["crystal.Na"] == 3
    assert values("-xtalsize", "1", "-sample_y", "2")["crystal.size_mm[1]"] == 2
    assert values("-polar", "0.5", "-nopolar")["beam.nopolar"] is True
    assert values("-nopolar", "-polar", "0.5")["beam.nopolar"] is False
    assert values("-nointerpolate", "-interpolate")["structure_factors.interpolate"] is True
    assert values("-lambda", "2", "-energy", "12398.42")["beam.wavelength_A"] == 1.0


def test_switching_files_off_and_on() -> None:
    outputs = build(parse([*CELL, "-nopgm", "-nonoise"]))[1]
    assert outputs.pgmfile is None and outputs.noisefile is None
    assert build(parse([*CELL, "-nopgm", "-pgmscale", "2"]))[1].pgmfile == Path("image.pgm")
    assert build(parse([*CELL, "-nonoise", "-noisefile", "n"]))[1].noisefile == Path("n")
    assert build(parse([*CELL, "-pgmfile", "p", "-nopgm"]))[1].pgmfile is None


@pytest.mark.parametrize("line", ["-detector_abs inf -detector_thick 300", "-detector_thick 300 -detector_abs 0"])
def test_no_absorption_is_no_sensor_in_either_order(line: str) -> None:
    detector = build(parse([*CELL, *line.split()]))[0].detector
    assert (detector.thickness_um, detector.attenuation_um) == (0.0, None)


def test_each_flag_does_its_own_job() -> None:
    """The reference's overlapping names: no flag may eat what belongs to another."""
    known = values("-misset", "1", "2", "3", "-misset_seed", "7")
    assert known == {"crystal.misset_deg": (1.0, 2.0, 3.0), "crystal.misset_seed": 7}
    known = values("-twotheta", "10", "-twotheta_axis", "2.5", "0", "1")
    assert known["detector.twotheta_deg"] == 10 and known["detector.twotheta_axis"] == (2.5, 0, 1)
    assert values("-N", "5", "-curved_det")["detector.curved"] is True
    known = values("-mosaic_seed", "4", "-seed", "5")
    assert known == {"crystal.mosaic_seed": 4, "outputs.seed": 5}
    known = values("-detector_thicksteps", "4", "-detector_thick", "300")
    assert known == {"detector.thicksteps": 4, "detector.thickness_um": 300}


# --- values ------------------------------------------------------------------------------------------------------


def test_units() -> None:
    assert values("-energy", "12000")["beam.wavelength_A"] == pytest.approx(12398.42 / 12000, rel=1e-15)
    assert values("-pix0_vector", "0.1", "-0.2", "0.3")["detector.pix0_vector_mm"] == pytest.approx((100, -200, 300))
    assert values("-pix0_vector_mm", "1", "2", "3")["detector.pix0_vector_mm"] == (1, 2, 3)
    assert values("-printout_pixel", "3", "4") == values("-trace_pixel", "4", "3") == {"trace.pixel": (4, 3)}
    simulation, *_ = build(parse([*CELL, "-divergence", "2", "-dispersion", "3", "-water", "5"]))
    assert (simulation.beam.hdivrange_mrad, simulation.beam.vdivrange_mrad) == (2, 2)
    assert (simulation.beam.dispersion_percent, simulation.background.water_um) == (3, 5)


def test_cell_stops_at_the_next_flag() -> None:
    for n in range(1, 7):
        lengths = [str(10 * i) for i in range(1, n + 1)]
        assert values("-cell", *lengths, "-N", "2")["crystal.cell"] == tuple(map(float, lengths))


@given(st.integers(-(2**62), 2**62), st.sampled_from(["", ".0"]))
def test_whole_numbers_are_read_exactly(number: int, tail: str) -> None:
    if tail and abs(number) > 2**53:
        tail = ""
    assert values("-N", f"{number}{tail}")["crystal.Na"] == number


@given(st.floats(allow_nan=False))
def test_numbers_are_read_exactly(number: float) -> None:
    assert values("-Xbeam", repr(number))["detector.Xbeam_mm"] == number


@given(
    st.lists(st.sampled_from([*SPELLINGS, "1", "-2.5", "x", "", "--", "-", "--distance=3", "--lenient"]), max_size=8)
)
def test_no_line_does_worse_than_a_usage_error(words: list[str]) -> None:
    try:
        parse(words)
    except UsageError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-distance abc", "-distance needs a number in mm, got 'abc'"),
        ("-distance", "-distance needs a number in mm, but the command line ends there"),
        ("-distance -xds", "-distance needs a number in mm, got the flag -xds"),
        ("-distance nan", "-distance needs a number in mm, got 'nan'"),
        ("--distance=abc", "--distance needs a number in mm, got 'abc'"),
        ("-phi x", "-phi needs a number in degrees, got 'x'"),
        ("-N 5.5", "-N needs a whole number, got '5.5'"),
        ("-N inf", "-N needs a whole number, got 'inf'"),
        ("-hkl", "-hkl needs the name of a file, but the command line ends there"),
        ("-hkl -N 5", "-hkl needs the name of a file, got the flag -N"),
        ("-fdet_vector 1 2 -N 3", "-fdet_vector needs three numbers (x y z), got the flag -N"),
        ("-roi 1 2 3", "-roi needs 4 whole numbers (xmin xmax ymin ymax), but the command line ends there"),
        ("-cell -N 5", "-cell needs one to six numbers (a b c alpha beta gamma) in Å and degrees, got the flag -N"),
        ("-misset rabbit", "-misset needs three numbers (x y z) in degrees or 'random', got 'rabbit'"),
        ("-energy 0", "-energy must be > 0, got 0"),
        ("-pivot here", "-pivot needs beam or sample, got 'here'"),
        ("--device gpu", "--device needs auto, cpu, cuda, cuda:N or cuda:all, got 'gpu'"),
        ("stray", "the word 'stray' belongs to no flag: files are named by flags, as in -hkl FILE -mat FILE"),
        ("-N 5 6", "the word '6' belongs to no flag: -N takes one value"),
        ("-xds 6", "the word '6' belongs to no flag: -xds takes no value"),
        ("-roi 1 2 3 4 5", "the word '5' belongs to no flag: -roi takes 4 values"),
        (
            "--detpixels 10 20",
            "the word '20' belongs to no flag: --detpixels takes one value; "
            "the axes have flags of their own, as in -detpixels_f N -detpixels_s N",
        ),
        ("-help", "unknown option -help; did you mean --help?"),
        ("--out there", "unknown option --out; did you mean --out of 'nbnumba series'?"),
        ("-wavelength=abc", "-wavelength needs a number in Å, got 'abc'"),
        ("--xds=3", "--xds takes no value, got '3'"),
    ],
)
def test_mistakes_are_told_in_one_sentence(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line.split())
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("read", "line", "word", "meant"),
    [
        (parse_series, "-images 3 -osc 1", "-images", "--images"),
        (parse_series, "--stills 3 --worker 2", "--worker", "--workers"),
        (parse_series, "--stills 3 --orientation fixed", "--orientation", "--orientations"),
        (parse_series, "--stills 3 -hdivr 1", "-hdivr", "-hdivrange"),
        (parse_bench, "-repeat 3", "-repeat", "--repeat"),
        (parse_trace, "3 4 --tabel", "--tabel", "--table"),
    ],
)
def test_options_of_a_command_are_suggested_before_flags(
    read: Callable[[list[str]], object], line: str, word: str, meant: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read(line.split())
    assert str(caught.value) == f"unknown option {word}; did you mean {meant}?"


def test_flags_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my flags.txt").write_text("-cell 50 60 70  # a crystal\n-hkl 'my list.hkl'\n")
    words = with_files(["-N", "5", "@my flags.txt", "-lambda", "1"])
    assert words == ["-N", "5", "-cell", "50", "60", "70", "-hkl", "my list.hkl", "-lambda", "1"]


@pytest.mark.parametrize("words", [["--config", "supervisor"], ["--config=supervisor"]])
def test_flags_of_a_preset(words: list[str]) -> None:
    """All of them are known, and what follows overrides them."""
    invocation = parse(with_files(["-N", "5", *words, "-phisteps", "2"]))
    assert invocation.warnings == () and not any(word.startswith("--config") for word in invocation.argv)
    values = {"crystal.Na": 36, "scan.phisteps": 2, "detector.spixels": 2527, "input.matrix": "A.mat"}
    assert {key: invocation.values[key] for key in values} == values


@pytest.mark.parametrize("words", [["--config"], ["--config", "nothing of the kind"], ["--config="]])
def test_a_preset_that_is_not_there(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^--config needs the name of a preset \(supervisor\), got "):
        with_files(words)


def test_the_type_of_numbers_is_a_precision() -> None:
    assert parse(["--dtype", "float64"]).values == {"run.precision": "double"}
    assert parse(["--precision", "double", "--dtype=float32"]).values == {"run.precision": "mixed"}
    with pytest.raises(UsageError, match="--dtype needs float32 or float64, got 'float16'"):
        parse(["--dtype", "float16"])


@pytest.mark.parametrize("text", [None, "-hkl 'no end"])
def test_files_of_flags_that_cannot_be_read(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "flags.txt"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match=r"@FILE stands for the flags in a file"):
        with_files([f"@{file}"])


@pytest.mark.parametrize(
    ("word", "meant"),
    [("-version", "--version"), ("-thickness", "-detector_thick"), ("-header", "-img"), ("--material", "-stol")],
)
def test_what_is_meant(word: str, meant: str) -> None:
    with pytest.raises(UsageError, match=rf"unknown option {word}; did you mean {meant}\?"):
        parse(["-cell", "50", word, "3"])


def test_two_dashes_are_no_beginning() -> None:
    assert TABLE.find("-matters") is TABLE.find("-mat") is TABLE.find("--mat") is not None
    assert TABLE.find("--matters") is None and TABLE.find("--mosaic_domain") is None


def test_the_examples_of_the_reference_run() -> None:
    """Its README has -hdiv and -vdiv, which its program ignores."""
    words = "-mat A.mat -hkl P1.hkl -lambda 1 -dispersion 0 -distance 1000 -detsize 100 -pixel 0.1 -hdiv 0 -vdiv 0 -fluence 1e32 -N 1"
    invocation = parse(words.split())
    assert len(invocation.warnings) == 2 and all("is ignored, as by nanoBragg" in text for text in invocation.warnings)
    assert not {key for key in invocation.values if "div" in key}
