"""The seed corpus: small valid files of every kind, made by this project's own writers and the tests' helpers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

INPUTS = Path(__file__).resolve().parents[2] / "golden" / "inputs"
REGRESSIONS = Path(__file__).resolve().parent / "regressions"

Seeds = list[bytes]


def seeds(name: str, folder: Path) -> Seeds:
    """Seeds of a target; ``folder`` is for files on the way."""
    return [b"good\n"] if name.startswith("planted") else _MAKERS[name](folder)


def regressions(name: str) -> dict[str, bytes]:
    """Inputs that a target once failed on, by file name."""
    folder = REGRESSIONS / name
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def _golden(*names: str, lines: int = 40) -> Seeds:
    """Beginnings of golden inputs."""
    return [b"\n".join((INPUTS / name).read_bytes().split(b"\n")[:lines]) + b"\n" for name in names]


def _hkl(folder: Path) -> Seeds:
    own = b"# h k l F\n0 0 1 12.5\n-1,2,-3 4e1 0.1 ! weak\n1 0\n0 7.25\n\r\n2 -2-4 1.\n"
    return [*_golden("messy.hkl", "six_columns.hkl", "tri.hkl", "comment_mid.hkl"), own, b"1 2 3 4\n"]


def _lists(kind: str) -> Callable[[Path], Seeds]:
    """Lists of other programs: ``kind`` is a function of :mod:`tests.io.list_inputs`."""

    def make(folder: Path) -> Seeds:
        from tests.io import list_inputs

        rows = [(1, 2, 3, 100.5, 1.0), (2, 1, -3, 300.25, 2.0), (4, -4, 4, -10.0, 5.0), (0, 0, 4, 12.0, -1.0)]
        options: dict[str, list[dict[str, object]]] = {
            "xds_ascii": [{}, {"merge": True, "friedel": False, "number": 19}, {"items": list_inputs.XDS_ITEMS[::-1]}],
            "shelx": [{}, {"batch": None}, {"batch": None, "end": None}, {"batch": -1}],
            "scalepack": [{}, {"group": "p21"}],
            "crystfel": [{}, {"symmetry": "2/m_uab"}, {"symmetry": None}],
        }
        texts = [getattr(list_inputs, kind)(rows, **each) for each in options[kind]]
        if kind == "scalepack":
            texts.append(list_inputs.scalepack([(1, 2, 3, 100.0, 1.0, 99.0, 1.0)]))
            texts.append("    8 p43212\n  1  0  0  0  1  0  0  0  1\n  0  0  0\n")
        return [*(text.encode() for text in texts), gzip.compress(texts[0].encode(), mtime=0)]

    return make


def _fcf(folder: Path) -> Seeds:
    from tests.io.test_merging import FCF, SMALL

    ops = "'x, y, z'\n '-x, -y, -z'\n '-x, y+1/2, -z+1/2'\n 'x, -y+1/2, z+1/2'"
    found = []
    for code, tags, row, _ in SMALL.values():
        listed = "\n".join(f" _refln_{tag}" for tag in ("index_h", "index_k", "index_l", *tags.split()))
        found.append(FCF.format(code=code, ops=ops, tags=listed, rows=f"1 2 3 {row}").encode())
    return found


def _small_models(folder: Path) -> Seeds:
    from tests.io.model_inputs import SYMOPS, small

    loop = "loop_\n_atom_site_aniso_label\n_atom_site_aniso_U_11\n_atom_site_aniso_U_22\n_atom_site_aniso_U_33\nC1 .02 .03 .01"
    sites = "C1 C .1 .2 .3 0.02"
    texts = [
        small("Na1 Na 0 0 0 0.0\nCl1 Cl 0.5 0.5 0.5 0.0"),
        small(sites, "5 6 7 80 95 100", SYMOPS.format("'x,y,z'\n'-x,-y,-z'"), more=loop),
        small("C1 C .1 .2 .3 1.5 0.5", symmetry="_space_group_IT_number 14", tags="B_iso_or_equiv occupancy"),
        small(sites, "8 8 11 90 90 90", SYMOPS.format("'x,y,z'\n'-y+1/6,x,z+1/4'\n'-x+1/6,-y+1/6,z+1/2'"), more=loop),
    ]
    return [text.encode() for text in texts]


def _fdump(folder: Path) -> Seeds:
    from nbnumba.io.fdump import write_fdump

    found = []
    for shape, mins in (((2, 3, 2), (-1, 0, -4)), ((1, 1, 1), (0, 0, 0))):
        write_fdump(folder / "dump.bin", np.arange(np.prod(shape), dtype=float).reshape(shape), mins)
        found.append((folder / "dump.bin").read_bytes())
    return found


def _matrix(folder: Path) -> Seeds:
    line_8 = b"0.1 0 0 0 0.1 0 0 0 0.1\n0 0 0\n1 0 0 0 1 0 0 0 1\n10 10 10 90 90 90\n0 0 0\n"
    return [*_golden("tri_A.mat", "orth_A.mat"), b"! mm\n1,0,0 0 .5 0 1e-2-3-4.5 # end\n", line_8]


def _sources(folder: Path) -> Seeds:
    return [*_golden("sources_full.txt", "sources_partial.txt"), b"0;0;-10:1 nan\n\n# one more\n1,2,3\n"]


def _spectrum(folder: Path) -> Seeds:
    return [b"# A weight\n0.98 1\n0.99, 4 7\n1.00; 2\n", b"12600 0\n12650 3.5 ! peak\n12700 1e2\n"]


def _stol(folder: Path) -> Seeds:
    return [b"# stol F\n0 2.5\n0.1 3.0 7 8\n\n0.2 5 ! peak\n0.3 nan\n0.4 4\n0.6 3\n1.2 1\n"]


def _geometry_of(name: str):
    from nbnumba.model.frames import image_geometry
    from tests.io.geometries import experiment

    return image_geometry(experiment(name))


def _smv(folder: Path) -> Seeds:
    from nbnumba.io.smv import SmvGeometry, smv_header

    geometry = SmvGeometry(
        **{"fpixels": 6, "spixels": 5, "pixel_mm": 0.1, "distance_mm": 99.5, "wavelength_A": 0.9768},
        **{"xbeam_mm": 0.3, "ybeam_mm": 0.2, "fbeam_mm": 0.3, "sbeam_mm": 0.2, "detsize_s_mm": 0.5},
        **{"dials_origin_mm": (-0.3, 0.2, -99.5), "orgx": 3.0, "orgy": 2.0, "close_distance_mm": 99.5},
        **{"phi_deg": 10.0, "osc_deg": 0.5, "twotheta_deg": 0.0},
    )
    pixels = np.arange(30, dtype="<u2").tobytes()
    found = [smv_header(geometry, 40.0) + pixels, smv_header(geometry, 40.0, "adsc") + pixels]
    found.append(found[0].replace(b"little_endian", b"big_endian   "))
    found.append(found[0].replace(b"\n", b"\r\n").replace(b"TYPE=unsigned_short", b"Data_type=unsigned short int"))
    found.append(gzip.compress(found[0], mtime=0))
    return found


def _mtz(folder: Path) -> Seeds:
    from tests.io.reflection_inputs import amplitudes, make_asu, make_mtz

    found = []
    for group, kinds in (("P 43 21 2", "F"), ("P 31 2 1", "GG"), ("R 3 :R", "J")):
        miller = make_asu(group, 12.0)
        labels = {"F": ["F"], "GG": ["F(+)", "F(-)"], "J": ["I"]}[kinds]
        columns = {label: (kind, amplitudes(miller)) for label, kind in zip(labels, kinds, strict=True)}
        found.append(make_mtz(folder / "a.mtz", group, columns, miller).read_bytes())
    return [*found, gzip.compress(found[0], mtime=0)]


def _sfcif(folder: Path) -> Seeds:
    from tests.io.reflection_inputs import make_cif

    rows: list[list[object]] = [[0, 0, 4, 10.5, 1], [1, 0, 4, "?", 2], [2, 1, 3, 7.25, "."]]
    found = []
    for tags in (["F_meas_au", "status"], ["pdbx_F_plus", "pdbx_F_minus"], ["intensity_meas", "F_calc"]):
        found.append(make_cif(folder / "a.cif", "P 43 21 2", tags, rows).read_bytes())
    return [*found, gzip.compress(found[0], mtime=0)]


def _models(suffix: str) -> Callable[[Path], Seeds]:
    def make(folder: Path) -> Seeds:
        from tests.io.reflection_inputs import make_model

        found = [make_model(folder / f"a{suffix}", name, 4).read_bytes() for name in ("P 43 21 2", "P 31 2 1")]
        listed = {
            ".cif": b"loop_\n_symmetry_equiv.id\n_symmetry_equiv.pos_as_xyz\n1 x,y,z\n2 -x+1/8,y+1/2,-z+1/3\n",
            ".pdb": b"REMARK 290       1555   X,Y,Z\nREMARK 290       2555   -X+1/8,Y+1/2,-Z+1/3\n",
        }
        strange = found[0].replace(b"P 43 21 2", b"P 99     ")
        found.append(strange + listed[suffix] if suffix == ".cif" else listed[suffix] + strange)
        return found

    return make


def _expt(folder: Path) -> Seeds:
    from tests.geometry_inputs import PANELS, an_experiment, group

    axes = {"axes": [[1, 0, 0], [0, 0, 1], [1, 0, 0]], "angles": [1, 20, 0], "scan_axis": 1, "names": ["p", "k", "o"]}
    A = np.linalg.inv(np.diag([36.4, 41.7, 47.3])).ravel().tolist()
    crystal = an_experiment()["crystal"][0] | {"A_at_scan_points": [A] * 11}
    nested = {"panels": PANELS[:2], "hierarchy": group([0]) | {"children": [group([0], origin=[0, 0, 1])]}}
    made = [an_experiment(), an_experiment(goniometer=axes), an_experiment(scan=None), an_experiment(crystal=crystal)]
    moving = [[0.0, 0.001 * i, -1.02] for i in range(11)]
    beam = an_experiment()["beam"][0] | {"s0_at_scan_points": moving, "sigma_divergence": 0.02, "probe": "electron"}
    gonio = {"rotation_axis": [1, 0, 0], "setting_rotation_at_scan_points": [np.eye(3).ravel().tolist()] * 11}
    made += [
        an_experiment(beam=beam, goniometer=gonio, detector={"panels": [PANELS[0] | {"pixel_size": [0.9, 0.4]}]}),
        an_experiment(detector=nested, crystal=None),
        {"experiment": [{"beam": 0}], "beam": [{"direction": [0, 0, 1]}]},
    ]
    return [json.dumps(content).encode() for content in made]


def _xparm(folder: Path) -> Seeds:
    from tests.geometry_inputs import direct_vectors, old_xparm, xparm

    two = "1 1 120 1 200\n 0.0 0.0 0.0  1.0 0.0 0.0  0.0 1.0 0.0\n2 121 240 1 200\n 1.0 2.0 0.0  1.0 0.0 0.0  0.0 1.0 0.0\n"
    texts = xparm(direct_vectors()), xparm(direct_vectors(), two), old_xparm(direct_vectors())
    return [text.encode() for text in texts]


def _xdsinp(folder: Path) -> Seeds:
    from tests.geometry_inputs import INP

    segment = (
        "SEGMENT= 1 240 1 100 SEGMENT_ORGX= 5 SEGMENT_ORGY= 6 SEGMENT_DISTANCE= 1\n"
        "DIRECTION_OF_SEGMENT_X-AXIS= 1 0 0 DIRECTION_OF_SEGMENT_Y-AXIS= 0 1 0\n"
    )
    axes = "UNIT_CELL_A-AXIS= 36 0 0\nUNIT_CELL_B-AXIS= 0 41 0\nUNIT_CELL_C-AXIS= 0 1 47\nSTARTING_FRAME= 4\n"
    return [INP.encode(), (INP + segment).encode(), (INP + axes).encode()]


def _geom(folder: Path) -> Seeds:
    from tests.geometry_inputs import GEOM

    more = "detector_shift_x = 1 mm\nbandwidth = 0.01\na1/ss = -0.2x +1.3y\na1/corner_x = 3 or so\n"
    electrons = GEOM.replace("photon_energy = 9500 eV", "electron_voltage = 200 kV").replace("a0/fs", "a0/fa")
    return [
        GEOM.encode(),
        GEOM.replace("photon_energy = 9500 eV", "wavelength = 1.3 A").encode(),
        (electrons + more).encode(),
        b"; \x01\n" + GEOM.replace(" = ", "\xa0=\xa0").encode(),
    ]


def _stream(folder: Path) -> Seeds:
    from tests.geometry_inputs import GEOM
    from tests.io.stream_inputs import Lattice, a_cell, chunk, stream

    rows = [(1, -2, 3, 150.25, 12.5, 7.1, 4.2, "a0"), (0, 0, 4, -3.0, 2.0, 31.5, 8.0, "a1")]
    two = chunk(Lattice(shift=(0.5, -0.25), rows=rows), Lattice(a_cell(5), shift=None))
    in_data = GEOM.replace("9500 eV", "/LCLS/energy").replace("clen = 0.080", "clen = /LCLS/clen")
    headers = ["header/float//LCLS/clen = 80.000000", "hdf5/LCLS/energy = 9500.0"]
    texts = [
        stream(two, chunk()),
        stream(chunk(), chunk(Lattice(), headers=headers, camera=None), geometry=in_data),
        stream(chunk(Lattice(), energy=9000.0), geometry=in_data).replace("\n", "\r\n"),
        stream(chunk(Lattice(rows=rows), version="2.0"), version="2.0"),
    ]
    return [*(text.encode() for text in texts), gzip.compress(texts[0].encode(), mtime=0)]


def _refl(folder: Path) -> Seeds:
    from tests.io.refl_inputs import column, refl, write_refl

    columns = {
        "shoebox": ["Shoebox<>", [1, b"\0" * 29]],
        "names": ["std::string", [1, ["a"]]],
        "odd": ["std::string", [1, b"\x10" * 32]],
        "id": column("int", [0]),
    }
    made = write_refl(folder / "a.refl", 3, identifiers={0: "a", 1: "b"}).read_bytes()
    return [made, refl(columns, 1, version=1), refl({}, 0), gzip.compress(made, mtime=0)]


def _cbf(folder: Path) -> Seeds:
    from nbnumba.io.cbf import write_cbf
    from tests.geometry_inputs import MINI
    from tests.io.geometries import counts

    geometry = _geometry_of("MOSFLM")
    write_cbf(folder / "a.cbf", counts(geometry)[0], geometry, 65000)
    angles = MINI.replace(
        "# Wavelength", "# Detector_2theta 20.0 deg.\n# Kappa 30 deg.\n# Oscillation_axis PHI\n# Wavelength"
    )
    return [*(text.encode() + b"\x0c\x1a\x04\xd5\x00\x01" for text in (MINI, angles)), (folder / "a.cbf").read_bytes()]


def _own_nxmx(name: str) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        from nbnumba.io.nexus import ValidCounts, write_nexus
        from tests.io.geometries import counts

        geometry = _geometry_of(name)
        write_nexus(
            folder / "own.nxs", geometry.layout.arrange(counts(geometry)), geometry, ValidCounts(saturation=65000)
        )
        return (folder / "own.nxs").read_bytes()

    return make


def _filewriter(folder: Path) -> bytes:
    from tests.io.nxmx_inputs import filewriter

    return filewriter(folder / "master.h5", fixed=True).close().read_bytes()


def _turned_filewriter(folder: Path) -> bytes:
    from tests.io.nxmx_inputs import DETECTOR, filewriter

    made = filewriter(folder / "turned.h5", fixed=True)
    made.put(f"{DETECTOR}/geometry/orientation/value", [-1.0, 0, 0, 0, -0.8, 0.6])
    made.put(f"{DETECTOR}/geometry/translation/distances", [0.03, 0.04, -0.1])
    made.put(f"{DETECTOR}/detector_number", "E-32-0105")
    made.put(f"{DETECTOR}/goniometer/two_theta", [10.0], "degree")
    made.put("entry/sample/goniometer/phi_start", 5.0, "degree")
    made.put("entry/sample/goniometer/phi_increment", 0.5, "degree")
    made.put("entry/sample/goniometer/kappa", [30.0], "degree")
    made.put("entry/instrument/beam/incident_wavelength_weights", [1.0])
    return made.close().read_bytes()


def _nexgen(folder: Path) -> bytes:
    from tests.io.nxmx_inputs import one_module

    return one_module(folder / "nexgen.nxs", fixed=True).close().read_bytes()


def _other_nxmx(folder: Path) -> bytes:
    from tests.geometry_inputs import make_nxmx

    return make_nxmx(folder / "other.nxs", 2).read_bytes()


def _eiger_images(folder: Path) -> bytes:
    from tests.io.nxmx_inputs import DETECTOR, filewriter

    made = filewriter(folder / "eiger.h5", fixed=True)
    del made.file["entry/data/data_000001"]
    for number in (1, 2):
        made.put(f"entry/data/data_{number:06d}", np.arange(12, dtype=np.uint16).reshape(1, 4, 3))
    made.put(f"{DETECTOR}/detectorSpecific/pixel_mask", np.zeros((4, 3), np.uint32))
    return made.close().read_bytes()


def _panel_images(folder: Path) -> bytes:
    from tests.io.nxmx_inputs import DETECTOR, Maker

    made = Maker(folder / "panels.h5", fixed=True)
    made.group("entry", "NXentry")
    made.group("entry/data", "NXdata").attrs["signal"] = np.bytes_("counts")
    made.put("entry/data/counts", np.arange(12.0).reshape(2, 3, 2))
    made.group("entry/instrument", "NXinstrument")
    made.group(DETECTOR, "NXdetector")
    made.put(f"{DETECTOR}/pixel_mask", np.zeros((2, 3, 2), np.int8))
    for number in (0, 1):
        made.group(f"{DETECTOR}/module_{number}", "NXdetector_module")
        made.put(f"{DETECTOR}/module_{number}/data_origin", [number, 0, 0])
        made.put(f"{DETECTOR}/module_{number}/data_size", [1, 3, 2])
    return made.close().read_bytes()


def _crystfel_images(folder: Path) -> bytes:
    from tests.io.nxmx_inputs import Maker

    made = Maker(folder / "crystfel.h5")
    made.put("data/data", np.arange(16, dtype=np.float32).reshape(1, 2, 4, 2))
    made.put("LCLS/photon_energy_eV", [9000.0])
    return made.close().read_bytes()


def _truth_file(folder: Path) -> bytes:
    from nbnumba.series.truth import gather

    (folder / "000001.npz").write_bytes(_part(folder)[0])
    gather(folder / "truth.h5", [folder / "000001.npz"], {"name": "a"})
    return (folder / "truth.h5").read_bytes()


def _recipes(kind: str) -> Callable[[Path], Seeds]:
    def make(folder: Path) -> Seeds:
        from tests.campaigns.fuzz.hdf5 import recipes

        return recipes(kind)

    return make


def _any_geometry(folder: Path) -> Seeds:
    kinds = (_expt, _xparm, _xdsinp, _geom, _stream, _cbf, _smv)
    return [kind(folder)[0] for kind in kinds]


def _image(folder: Path) -> Seeds:
    return [*_smv(folder)[:2], _cbf(folder)[1], *_pgm(folder)]


def _npy(folder: Path) -> Seeds:
    from nbnumba.io.npy import write_npy

    found = []
    for array in (np.eye(4, dtype=np.float32), np.arange(6, dtype=">i4").reshape(2, 3, order="F"), np.zeros((0, 3))):
        write_npy(folder / "a.npy", array)
        found.append((folder / "a.npy").read_bytes())
    return found


def _raw(folder: Path) -> Seeds:
    return [np.arange(30, dtype="<f4").tobytes()]


def _pgm(folder: Path) -> Seeds:
    from nbnumba.io.pgm import write_pgm

    write_pgm(folder / "a.pgm", np.arange(30, dtype=np.uint8).reshape(5, 6), 0.5)
    return [(folder / "a.pgm").read_bytes()]


def _toml(folder: Path) -> Seeds:
    from tests.series.inputs import DISTRIBUTIONS

    more = '[detector]\ndistance_mm = 100.0\nconvention = {distribution = "choice", values = ["XDS", "ADXV"]}\n'
    paths = '[beam]\nspectrum = {distribution = "choice", values = ["a.txt", "b.txt"]}\nnopolar = true\n'
    return [DISTRIBUTIONS.encode(), (more + paths).encode(), b"[scan]\nphi_deg = 5\n[sampling]\noversample = 2\n"]


def _trace(folder: Path) -> Seeds:
    from tests.inspect.test_compare_traces import C_LOG, PY_LOG

    factors = {"convention": "CUSTOM", "hkl_frac": [1.5, 2.0, None], "steps": 10}
    one = {"pixel": [3, 4], "factors": factors, "phi": [{"phi_tic": 0, "k_frac": 0.5}]}
    records = [
        {"environment": {}, "pixels": [one]},
        {"traces": [one]},
        {"pixel": {"slow": 3, "fast": 4}, "per_phi_entries": one["phi"]},
        one["phi"],
    ]
    return [C_LOG.encode(), PY_LOG.encode(), *(json.dumps(record).encode() for record in records)]


def _arguments(folder: Path) -> Seeds:
    from nbnumba.cli.flag_table import TABLE
    from tests.conftest import CASES

    lines = [" ".join(case["args"]) for case in list(CASES.values())[::9]]
    values = {"switch": "", "vector": "0 0 1", "ints": "0 9 0 9"}
    pieces = [f"{flag.name} {values.get(flag.kind, '1')}" for flag in TABLE.flags]
    lines += [" ".join(pieces[i : i + 12]) for i in range(0, len(pieces), 12)]
    return [line.encode() for line in lines] + [b"--lenient -hdivr 3 -cell=40 --device=cuda:1 -misset random"]


def _manifest(folder: Path) -> Seeds:
    return [json.dumps({"nbnumba": "0.1", "images": 3, "seed": 1, "vary.beam.flux": {"values": [1]}}).encode(), b"{}"]


def _part(folder: Path) -> Seeds:
    from nbnumba.series.truth import SPOT_COLUMNS, write_part

    spots = {key: np.zeros((2, 3) if key == "hkl" else 2, kind) for key, kind in SPOT_COLUMNS.items()}
    write_part(folder / "a.npz", {"file": "a_0001.img", "phi_deg": 1.5, "beam": np.eye(3)[2]}, spots, np.eye(3))
    return [(folder / "a.npz").read_bytes()]


#: HDF5 files of :mod:`tests.campaigns.fuzz.hdf5`: the targets that begin with them, and how they are made.
HDF5_FILES: dict[str, dict[str, Callable[[Path], bytes]]] = {
    "nxmx": {
        "own": _own_nxmx("MOSFLM"),
        "panels": _own_nxmx("panels"),
        "other": _other_nxmx,
        "nexgen": _nexgen,
        "filewriter": _filewriter,
        "turned": _turned_filewriter,
    },
    "nxmximage": {
        "own": _own_nxmx("panels"),
        "eiger": _eiger_images,
        "panels": _panel_images,
        "crystfel": _crystfel_images,
    },
    "truth": {"own": _truth_file},
}
_MAKERS: dict[str, Callable[[Path], Seeds]] = {
    **{"xdsascii": _lists("xds_ascii"), "shelx": _lists("shelx"), "scalepack": _lists("scalepack")},
    **{"crystfellist": _lists("crystfel"), "fcf": _fcf, "smallmodel": _small_models},
    **{"hkl": _hkl, "fdump": _fdump, "matrix": _matrix, "sources": _sources, "spectrum": _spectrum, "stol": _stol},
    **{"smv": _smv, "mask": _smv, "mtz": _mtz, "sfcif": _sfcif, "model": _models(".cif"), "pdb": _models(".pdb")},
    **{"expt": _expt, "xparm": _xparm, "xdsinp": _xdsinp, "geom": _geom, "cbf": _cbf, "nxmx": _recipes("nxmx")},
    **{"stream": _stream, "refl": _refl},
    **{"geometry": _any_geometry, "image": _image, "npy": _npy, "raw": _raw, "pgm": _pgm, "toml": _toml},
    **{"trace": _trace, "arguments": _arguments, "manifest": _manifest, "part": _part, "truth": _recipes("truth")},
    "nxmximage": _recipes("nxmximage"),
}
