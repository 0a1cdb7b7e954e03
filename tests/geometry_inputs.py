"""Files of DIALS, XDS, CrystFEL and image headers that describe one crystal and several detectors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.io.geometry import rotation
from nbnumba.model.config import Sampling, Simulation, StructureFactors
from nbnumba.model.geometry_files import read_geometry, to_config

CELL = (36.4, 41.7, 47.3, 82.1, 75.4, 68.9)
WAVELENGTH = 0.9795
U = rotation((1, 2, 3), 40)
FACTORS = StructureFactors(default_F=100.0, dump=Path("/nonexistent/none.bin"), interpolate=False)


def direct_vectors() -> np.ndarray:
    """a, b, c (Å) as rows, oriented by U."""
    a, b, c, al, be, ga = CELL
    ca, cb, cg, sg = *np.cos(np.radians([al, be, ga])), np.sin(np.radians(ga))
    x, y = cb, (ca - cb * cg) / sg
    standard = np.array([[a, 0, 0], [b * cg, b * sg, 0], [c * x, c * y, c * np.sqrt(1 - x * x - y * y)]])
    return standard @ U.T


def a_panel(origin, fast=(1, 0, 0), slow=(0, -1, 0), size=(12, 10), pixel=0.9, name="", offset=(0, 0)) -> dict:
    """A panel as dxtbx writes it."""
    return {
        "name": name,
        "type": "SENSOR_PAD",
        "fast_axis": list(fast),
        "slow_axis": list(slow),
        "origin": list(origin),
        "raw_image_offset": list(offset),
        "image_size": list(size),
        "pixel_size": [pixel, pixel],
        "trusted_range": [0, 65535],
        "thickness": 0.0,
        "material": "",
        "mu": 0.0,
    }


TILTED = rotation((0.3, 1, 0.1), 17)
PANELS = [
    a_panel((-14, 12, -60), name="a"),
    a_panel((2, 12, -60), name="b", offset=(14, 0)),
    a_panel((-14, -2, -61), name="c", size=(11, 9), offset=(0, 12)),
    a_panel((3, -3, -58), TILTED[:, 0], -TILTED[:, 1], name="d", pixel=0.7, offset=(14, 12)),
]


def an_experiment(**changes) -> dict:
    """An experiment list with one experiment; a model that is None is left out."""
    a, b, c = direct_vectors().tolist()
    models = {
        "beam": {
            "__id__": "monochromatic",
            "direction": [0.0, 0.0, 1.0],
            "wavelength": WAVELENGTH,
            "polarization_normal": [0.0, 1.0, 0.0],
            "polarization_fraction": 0.95,
            "probe": "x-ray",
        },
        "detector": {"panels": PANELS, "hierarchy": group(range(len(PANELS)))},
        "goniometer": {"rotation_axis": [1.0, 0.0, 0.0]},
        "scan": {"image_range": [3, 12], "properties": {"oscillation": [10 + 0.5 * i for i in range(10)]}},
        "crystal": {"__id__": "crystal", "real_space_a": a, "real_space_b": b, "real_space_c": c},
    } | changes
    content = {"__id__": "ExperimentList", "experiment": [{"__id__": "Experiment", "identifier": ""}]}
    for name, model in models.items():
        content[name] = [] if model is None else [model]
        if model is not None:
            content["experiment"][0][name] = 0
    return content


def group(panels, **frame) -> dict:
    """A node of the detector's hierarchy."""
    home = {"fast_axis": [1, 0, 0], "slow_axis": [0, 1, 0], "origin": [0, 0, 0]}
    return home | frame | {"children": [{"panel": i} for i in panels]}


def write(path: Path, content: dict) -> Path:
    path.write_text(json.dumps(content))
    return path


def simulation_of(path: Path, **more) -> Simulation:
    """The file's experiment, small."""
    parts = to_config(read_geometry(path, **more))
    crystal = replace(parts.pop("crystal"), Na=3, Nb=4, Nc=2)
    return Simulation(crystal=crystal, structure_factors=FACTORS, sampling=Sampling(oversample=1), **parts)


def from_flags(line: str) -> Simulation:
    """What a command line describes."""
    return build(parse(line.split()))[0]


def xparm(direct: np.ndarray, segments: str = "") -> str:
    """XPARM.XDS of today; without ``segments`` the one that is the whole detector."""
    segments = segments or "1 1 240 1 200\n 0.0 0.0 0.0  1.0 0.0 0.0  0.0 1.0 0.0\n"
    rows = "\n".join("  ".join(f"{v:.9f}" for v in row) for row in direct)
    return (
        " XPARM.XDS    VERSION Jan 10, 2022  BUILT=20220820\n"
        "     4   10.0000   0.5000  0.999000  0.010000 -0.043600\n"
        f"    {WAVELENGTH}   0.0030 -0.0040  1.0200\n"
        f"  1  {' '.join(map(str, CELL))}\n{rows}\n"
        f"  {len(segments.splitlines()) // 2}  240  200  0.3 0.3\n"
        "   118.70   98.20   71.50\n"
        "  0.9998 0.0 0.02\n  0.0 1.0 0.0\n -0.02 0.0 0.9998\n" + segments
    )


def old_xparm(direct: np.ndarray) -> str:
    """The same without the last two lines, in the layout of before 2012."""
    rows = "\n".join("  ".join(f"{v:.9f}" for v in row) for row in direct)
    return (
        "     4   10.0000   0.5000  0.999000  0.010000 -0.043600\n"
        f"    {WAVELENGTH}   0.0030 -0.0040  1.0200\n"
        "  240  200  0.3 0.3\n   71.50   118.70   98.20\n"
        "  0.9998 0.0 0.02\n  0.0 1.0 0.0\n -0.02 0.0 0.9998\n"
        f"  1  {' '.join(map(str, CELL))}\n{rows}\n"
    )


INP = """! written for a test  ORGX= 5
JOB= XYCORR INIT
ORGX= 118.70 ORGY= 98.20   DETECTOR_DISTANCE= 71.50
OSCILLATION_RANGE=0.5 STARTING_ANGLE= 10.0 ! half a degree
X-RAY_WAVELENGTH= 0.9795  DATA_RANGE= 4 90
NAME_TEMPLATE_OF_DATA_FRAMES=../a_NX=7_????.cbf
UNIT_CELL_CONSTANTS= 36.4 41.7 47.3 82.1 75.4 68.9
NX= 240 NY= 200  QX= 0.3  QY= 0.3
ROTATION_AXIS=0.999 0.01 -0.0436
DIRECTION_OF_DETECTOR_X-AXIS= 0.9998 0 0.02
DIRECTION_OF_DETECTOR_Y-AXIS= 0 1 0
INCIDENT_BEAM_DIRECTION= 0.003 -0.004 1.02
FRACTION_OF_POLARIZATION=0.98 POLARIZATION_PLANE_NORMAL=0 1 0
SENSOR_THICKNESS=0.45 SILICON=3.9
"""


def pixel_place(panel, x: float, y: float) -> np.ndarray:
    """Where a panel has fast x, slow y, in mm from its corner in pixels."""
    return 1000 * (panel.pix0 + panel.pixel_size * (x * panel.fdet + y * panel.sdet))


GEOM = """; made for a test
photon_energy = 9500 eV
clen = 0.080
coffset = 0.0005
adu_per_photon = 1
res = 5000  ; pixels of 0.2 mm
data = /entry/data
rigid_group_q0 = a0,a1
bada/min_x = -5

a0/min_fs = 0
a0/max_fs = 29
a0/min_ss = 0
a0/max_ss = 19
a0/corner_x = -34.5
a0/corner_y = 2.25
a0/fs = +0.999995x +0.003162y
a0/ss = -0.003162x +0.999995y
a1/min_fs = 30
a1/max_fs = 59
a1/min_ss = 0
a1/max_ss = 19
a1/corner_x = 3
a1/corner_y = 1.5
a1/fs = x
a1/ss = 0.96y + 0.28z
a1/coffset = -0.001
"""


def write_geom(path: Path, *changes: tuple[str, str]) -> Path:
    text = GEOM
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


MINI = """###CBF: VERSION 1.5
data_made
_array_data.header_convention "GENERIC_MINI"
_array_data.header_contents
;
# Detector: made for a test
# Pixel_size 300e-6 m x 300e-6 m
# Wavelength 0.9795 A
# Detector_distance 0.07150 m
# Beam_xy (118.20, 97.70) pixels
# Polarization 0.990
# Start_angle 10.0000 deg.
# Angle_increment 0.5000 deg.
;
_array_data.data
;
--CIF-BINARY-FORMAT-SECTION--
X-Binary-Size-Fastest-Dimension: 240
X-Binary-Size-Second-Dimension: 200
"""


def make_nxmx(path: Path, n_images: int = 3) -> Path:
    """A master file with two modules, one of them tilted, on an arm that is swung by 10 degrees about x."""
    with h5py.File(path, "w") as file:

        def group(name: str, kind: str):
            made = file.require_group(name)
            made.attrs["NX_class"] = kind
            return made

        def step(name: str, value, kind: str, axis, depends_on: str, units: str, offset=(0, 0, 0)) -> None:
            data = file.create_dataset(name, data=np.atleast_1d(np.array(value, float)))
            attributes = {"transformation_type": kind, "vector": axis, "depends_on": depends_on, "units": units}
            data.attrs.update(attributes | {"offset": offset, "offset_units": "mm"})

        group("entry", "NXentry")
        group("entry/instrument", "NXinstrument")
        group("entry/instrument/beam", "NXbeam")["incident_wavelength"] = WAVELENGTH
        detector = "/entry/instrument/det"
        group(detector, "NXdetector")
        group(f"{detector}/transformations", "NXtransformations")
        arm = f"{detector}/transformations"
        step(f"{arm}/swing", 10, "rotation", (1, 0, 0), ".", "deg")
        step(f"{arm}/away", 0.0715, "translation", (0, 0, 1), "swing", "m")
        for i, (origin, tilt) in enumerate((((-30, 20, 0), 0), ((6, 20, 1), 12))):
            name = f"{detector}/module{i}"
            module = group(name, "NXdetector_module")
            step(f"{arm}/tilt{i}", tilt, "rotation", (0, 1, 0), f"{arm}/away", "deg", offset=origin)
            step(f"{name}/module_offset", 0, "translation", (1, 0, 0), f"{arm}/tilt{i}", "mm")
            step(f"{name}/fast_pixel_direction", 3e-4, "translation", (-1, 0, 0), "module_offset", "m")
            step(f"{name}/slow_pixel_direction", 3e-4, "translation", (0, -1, 0), "module_offset", "m")
            module["data_origin"], module["data_size"] = [0, 70 * i], [50, 60]
        sample = group("entry/sample", "NXsample")
        sample["depends_on"] = "/entry/sample/transformations/phi"
        group("entry/sample/transformations", "NXtransformations")
        turns = "/entry/sample/transformations"
        step(f"{turns}/omega", 10 + 0.5 * np.arange(n_images), "rotation", (-1, 0, 0), "chi", "deg")
        file[f"{turns}/omega_end"] = 10.5 + 0.5 * np.arange(n_images)
        step(f"{turns}/phi", 0, "rotation", (0, 0, 1), "omega", "deg")
        step(f"{turns}/chi", 30, "rotation", (0, 0, 1), ".", "deg")
    return path
