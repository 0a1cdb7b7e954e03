"""The targets: every reader of what comes from outside, each as a function of a file's path.

A target may raise nothing but the errors of :mod:`nbnumba.errors`. Imports are inside the functions, so that a process
loads only what its target needs, and after the fuzzer has hooked itself into the imports.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Target:
    """A reader, and the ending that its files have."""

    name: str
    suffix: str
    read: Callable[[Path], Any]

    @property
    def reads(self) -> str:
        """What it is, in a few words."""
        return (self.read.__doc__ or "").strip().rstrip(".")


TARGETS: dict[str, Target] = {}


def find(name: str) -> Target:
    """A target by name; those that fail on purpose are known only to who asks for them."""
    if name.startswith("planted"):
        from tests.campaigns.fuzz.planted import PLANTED

        return PLANTED[name]
    return TARGETS[name]


def target(name: str, suffix: str) -> Callable[[Callable[[Path], Any]], Callable[[Path], Any]]:
    """Enter a function into ``TARGETS``."""

    def enter(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
        TARGETS[name] = Target(name, suffix, read)
        return read

    return enter


@target("hkl", ".hkl")
def _hkl(path: Path) -> None:
    """HKL text (``-hkl``)."""
    from nbnumba.io.hkl import read_hkl

    read_hkl(path)


def _list(path: Path) -> None:
    """Read a text list in every way that its options allow."""
    from nbnumba.errors import ConfigError
    from nbnumba.io.lists.table import read_list, read_list_cell

    read_list_cell(path)
    for options in ({}, {"label": "J", "average": True}, {"average": True, "symmetry": "422"}):
        with contextlib.suppress(ConfigError):
            read_list(path, **options)  # type: ignore[arg-type]


@target("xdsascii", ".HKL")
def _xdsascii(path: Path) -> None:
    """XDS_ASCII list (``-hkl``)."""
    _list(path)


@target("shelx", ".hkl")
def _shelx(path: Path) -> None:
    """SHELX list of fixed columns."""
    _list(path)


@target("scalepack", ".sca")
def _scalepack(path: Path) -> None:
    """SCALEPACK list."""
    _list(path)


@target("crystfellist", ".hkl")
def _crystfel_list(path: Path) -> None:
    """CrystFEL reflection list."""
    _list(path)


@target("fcf", ".fcf")
def _fcf(path: Path) -> None:
    """Reflections of a small molecule (fcf, hkl CIF)."""
    from nbnumba.io.reflections import read_cell, read_reflections

    read_cell(path)
    read_reflections(path, average=True)
    read_reflections(path)


@target("smallmodel", ".cif")
def _small_model(path: Path) -> None:
    """Atomic model of a small molecule."""
    _calculate(path)


@target("fdump", ".bin")
def _fdump(path: Path) -> None:
    """Binary dump of structure factors (``-dump``)."""
    from nbnumba.io.fdump import read_fdump

    read_fdump(path)


@target("matrix", ".mat")
def _matrix(path: Path) -> None:
    """MOSFLM matrix (``-mat``)."""
    from nbnumba.io.matrix import read_matrix, read_matrix_cell
    from nbnumba.model.contradictions import of_matrix

    values = read_matrix(path)
    read_matrix_cell(path)
    of_matrix(path, values, 1.0)
    of_matrix(path, values, 1.0, (40.0, 50.0))


@target("sources", ".txt")
def _sources(path: Path) -> None:
    """Source file (``-sourcefile``)."""
    from nbnumba.io.sourcefile import read_sources

    read_sources(path)


@target("spectrum", ".txt")
def _spectrum(path: Path) -> None:
    """Spectrum (``--spectrum``)."""
    from nbnumba.io.spectrum import read_spectrum

    read_spectrum(path).mean_A  # noqa: B018
    read_spectrum(path, steps=3)


@target("stol", ".stol")
def _stol(path: Path) -> None:
    """Structure factor of a liquid (``-stol``)."""
    from nbnumba.render.background import read_stol

    read_stol(path)


@target("smv", ".img")
def _smv(path: Path) -> None:
    """SMV header and data (``-img``)."""
    from nbnumba.io.smv import read_smv

    header = read_smv(path, header_only=True)
    for keyword in ("PIXEL_SIZE", "BEAM_CENTER_Y", "ORGX", "OSC_RANGE"):
        header.value(keyword)
    read_smv(path)


@target("mask", ".img")
def _mask(path: Path) -> None:
    """Mask and header image of a whole command line."""
    from nbnumba.cli.build import build
    from nbnumba.cli.parse import parse

    build(parse(["-mask", str(path), "-img", str(path), "-cell", "40", "-default_F", "1"]))


@target("mtz", ".mtz")
def _mtz(path: Path) -> None:
    """MTZ reflections, and whatever else ``-hkl`` takes."""
    from nbnumba.io.reflections import read_cell, read_reflections

    read_cell(path)
    read_reflections(path)


@target("sfcif", ".cif")
def _sfcif(path: Path) -> None:
    """mmCIF reflections, gzipped or not."""
    from nbnumba.io.reflections import read_cell, read_reflections

    read_cell(path)
    read_reflections(path)


@target("model", ".cif")
def _model(path: Path) -> None:
    """Atomic model as mmCIF (``--model``)."""
    _calculate(path)


@target("pdb", ".pdb")
def _pdb(path: Path) -> None:
    """Atomic model as PDB."""
    _calculate(path)


def _calculate(path: Path) -> None:
    from nbnumba.io.model import calculate_reflections, read_model_cell

    a, b, c = read_model_cell(path)[:3]
    # so few reflections that the sums take no time
    calculate_reflections(path, dmin_A=max(a, b, c) / 3, wavelength_A=1.0, solvent_k=0.0)


def _geometry(path: Path, reader: str, module: str) -> None:
    """Read a file, and make of it all that a run makes."""
    import importlib

    from nbnumba.errors import ConfigError
    from nbnumba.model.geometry_files import orientation, settings, to_config

    found = getattr(importlib.import_module(f"nbnumba.io.{module}"), reader)(path)
    for use in (
        lambda: to_config(found),
        lambda: orientation(found, 1.0, (40.0, 50.0, 60.0)),
        lambda: settings(found, {"detector.distance_mm"}),
        lambda: settings(found, {"detector.ORGX"}),
    ):
        # each may refuse what the others take
        with contextlib.suppress(ConfigError):
            use()


@target("expt", ".expt")
def _expt(path: Path) -> None:
    """DIALS experiment list (``--geometry``)."""
    _geometry(path, "read_expt", "expt")


@target("xparm", ".XDS")
def _xparm(path: Path) -> None:
    """XPARM.XDS and GXPARM.XDS."""
    _geometry(path, "read_xparm", "xds")


@target("xdsinp", ".INP")
def _xdsinp(path: Path) -> None:
    """XDS.INP."""
    _geometry(path, "read_xds_inp", "xds")


@target("geom", ".geom")
def _geom(path: Path) -> None:
    """CrystFEL geometry."""
    _geometry(path, "read_geom", "crystfel")


@target("stream", ".stream")
def _stream(path: Path) -> None:
    """CrystFEL stream: geometry with a crystal, and all chunks."""
    from nbnumba.errors import FileError
    from nbnumba.io.stream import read_stream

    # each may refuse what the other takes
    with contextlib.suppress(FileError):
        read_stream(path)
    _geometry(path, "read_stream_geometry", "stream")


@target("refl", ".refl")
def _refl(path: Path) -> None:
    """Reflection table of DIALS."""
    from nbnumba.io.refl import read_refl

    for column in read_refl(path).values():
        column.sum() if column.dtype != object else len(column)


@target("cbf", ".cbf")
def _cbf(path: Path) -> None:
    """Header of a miniCBF image."""
    _geometry(path, "read_cbf_geometry", "image_geometry")


def _made_of(path: Path, kind: str) -> Path:
    """The HDF5 file that a recipe describes."""
    from tests.campaigns.fuzz.hdf5 import build

    made = path.with_suffix(".h5")
    build(kind, path.read_bytes().decode("latin-1"), made)
    return made


@target("nxmx", ".txt")
def _nxmx(path: Path) -> None:
    """Geometry of an NXmx file, made from a recipe."""
    _geometry(_made_of(path, "nxmx"), "read_nxmx_geometry", "nxmx_geometry")


def _is_hdf5(path: Path) -> bool:
    """Damaged on purpose, these make libhdf5 hang or crash: docs/fuzzing.md."""
    return path.read_bytes().startswith(b"\x89HDF")


@target("geometry", ".any")
def _any_geometry(path: Path) -> None:
    """``--geometry`` of any kind but HDF5, known by its content."""
    if _is_hdf5(path):
        return
    from nbnumba.cli.build import build
    from nbnumba.cli.parse import parse

    build(parse(["--geometry", str(path), "-default_F", "1", "-cell", "40"]))


@target("image", ".img")
def _image(path: Path) -> None:
    """Images of ``nbnumba compare``: SMV, CBF, PGM (fabio's formats are read in a process with limits)."""
    from unittest import mock

    from nbnumba.errors import FileError
    from nbnumba.io import image

    if image.is_hdf5(path):  # as of _is_hdf5
        return
    with mock.patch.object(image, "read_foreign", side_effect=FileError("left to fabio")):
        image.read_image(path)


@target("nxmximage", ".txt")
def _nxmx_image(path: Path) -> None:
    """Image and pixel mask of an HDF5 file, made from a recipe."""
    from nbnumba.io.image import read_image, read_mask

    made = _made_of(path, "nxmximage")
    for panels in (False, True):
        read_image(made, None, 1, panels=panels)
        read_mask(made, panels=panels)


@target("npy", ".npy")
def _npy(path: Path) -> None:
    """NumPy array."""
    from nbnumba.io.image import read_image
    from nbnumba.io.npy import read_npy

    read_npy(path)
    read_image(path)


@target("raw", ".bin")
def _raw(path: Path) -> None:
    """Float image without a header."""
    from nbnumba.io.image import read_image

    read_image(path, (6, 5))


@target("pgm", ".pgm")
def _pgm(path: Path) -> None:
    """PGM picture."""
    from nbnumba.io.pgm import read_pgm

    read_pgm(path)


@target("toml", ".toml")
def _toml(path: Path) -> None:
    """Distributions of a series (``--vary``), and a shot of them."""
    from nbnumba.model.config import Crystal, Simulation
    from nbnumba.series.variation import read_variations, vary

    simulation = Simulation(crystal=Crystal(cell=(40, 50, 60), misset_deg=(1, 2, 3)))
    vary(simulation, read_variations(path), seed=1, number=1)


@target("trace", ".log")
def _trace(path: Path) -> None:
    """Trace logs of this program and of the C program, and their JSON."""
    from nbnumba.inspect.compare_traces import compare_traces, comparison_csv, comparison_lines
    from nbnumba.inspect.trace_text import read_traces

    compared = compare_traces(read_traces(path), read_traces(path))
    comparison_csv(compared)
    for each in compared:
        comparison_lines(each)


@target("arguments", ".txt")
def _arguments(path: Path) -> None:
    """The words of a command line."""
    from nbnumba.cli.build import build
    from nbnumba.cli.parse import parse

    try:
        words = shlex.split(path.read_bytes().decode("utf-8", "surrogateescape"), comments=False)
    except ValueError:  # the shell would have complained
        return
    # words that name files would make the fuzzer read the machine's own; names with line ends are shown as they are
    words = [word if "/" not in word and len(word.splitlines()) < 2 else "nowhere" for word in words]
    build(parse(["-cell", "40", *words]))


@target("manifest", ".json")
def _manifest(path: Path) -> None:
    """Record of a series (``series.json``)."""
    from nbnumba.series.folder import MANIFEST, check_same, read_manifest

    link = path.parent / MANIFEST
    if not link.is_symlink():
        link.symlink_to(path)
    found = read_manifest(path.parent)
    assert found is not None
    check_same(found, {"images": 3, "seed": 1}, path.parent)


@target("part", ".npz")
def _part(path: Path) -> None:
    """Truth of one shot, waiting for the others."""
    from nbnumba.series.truth import read_part

    read_part(path)


@target("truth", ".txt")
def _truth(path: Path) -> None:
    """Table of truth of a series, made from a recipe."""
    from nbnumba.series.truth import read_truth

    read_truth(_made_of(path, "truth"))
