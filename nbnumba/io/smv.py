"""SMV (ADSC) images: a text header of keys and values, then uint16 pixels.

The header that is written has nanoBragg.c's keys in its order and formats, with three differences: ``DIALS_ORIGIN``
ends with its semicolon, ``ADC_OFFSET`` records the pedestal, and a header that does not fit into 512 bytes is longer
instead of running into the pixels.

The ``adsc`` flavour is for programs that use the geometry of the header. ``BEAMLINE=fake`` makes DIALS read BEAM_CENTER
as ADXV's, one pixel off; for the numbers of other conventions that is wrong by centimetres. Without it, and with
DENZO's beam centre, DIALS (FormatSMVADSC) and others place the image exactly. Numbers have 10 digits instead of 6.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from nbnumba import memory
from nbnumba.errors import FileError
from nbnumba.io.files import atomic_write, cause

Flavour = Literal["reference", "adsc"]
_Entries = dict[str, float | str]

#: First bytes of a file; line ends may be those of DOS.
MAGIC = b"{\nHEADER_BYTES", b"{\r\nHEADER_BYTES"
_BLOCK = 512
_HEADER_LIMIT = 1 << 20
_SIDE_LIMIT = 1_000_000
_ATOF = re.compile(
    r"\s*([+-]?(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?|nan))",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class SmvImage:
    """An SMV file.

    Attributes
    ----------
    header_text : str
        Header up to its padding with null characters.
    data : (spixels, fpixels) uint16
        Pixels; all zero, and without memory of their own, when only the header was read.
    path : Path
        The file that was read.
    """

    header_text: str
    data: np.ndarray
    path: Path

    def value(self, keyword: str) -> float | None:
        """Number of a key, by the rule of ValueOf() in nanoBragg.c; see :func:`header_value`."""
        return header_value(self.header_text, keyword)


def header_value(header: str, keyword: str) -> float | None:
    """Number that follows the last occurrence of ``keyword`` and the next "=" after it.

    ``keyword`` need not be a whole key: ORGX finds XDS_ORGX, DISTANCE finds CLOSE_DISTANCE where that comes last. Text
    that is no number counts as 0, as for C's atof; NaN as not found, because the callers in nanoBragg.c treat it so.
    """
    end = -1
    while (found := header.find(keyword, max(end, 0))) >= 0:
        end = found + len(keyword)
    if end < 0:
        return None
    equals = header.find("=", end)
    match = _ATOF.match(header, equals + 1) if equals >= 0 else None
    if match is None:
        return 0.0
    try:
        value = float.fromhex(match[1]) if match["hex"] else float(match[1])
    except OverflowError:
        value = math.inf
    return None if math.isnan(value) else value


def read_smv(path: Path | str, header_only: bool = False) -> SmvImage:
    """Read an SMV image.

    Raises
    ------
    FileError
        The file cannot be read, is no SMV file, has an impossible header or pixels that are not uint16, or is
        truncated.
    ResourceError
        The image does not fit in memory.
    """
    path = Path(path)
    try:
        with _opened(path) as file:
            header = _read_header(path, file)
            shape = _shape(path, header)
            kind = _pixel_type(path, header)
            _check_length(path, file, shape)
            data = np.broadcast_to(np.uint16(0), shape) if header_only else _read_pixels(path, file, shape, kind)
    except FileError:
        raise
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read the SMV image {path}: {cause(error)}") from error
    return SmvImage(header, data, path)


def _opened(path: Path) -> BinaryIO:
    """The file, or its unpacked content if it is packed."""
    from nbnumba.io.packed import packer_of, read_unpacked

    with open(path, "rb") as file:
        packed = stat.S_ISREG(os.fstat(file.fileno()).st_mode) and packer_of(file.read(8)) is not None
    return io.BytesIO(read_unpacked(path, "SMV image")) if packed else open(path, "rb")


def _read_header(path: Path, file: BinaryIO) -> str:
    first = file.read(_BLOCK)
    if not first.startswith(MAGIC):
        raise FileError(f"{path} is not an SMV image: it does not start with '{{', a new line and 'HEADER_BYTES='")
    size = header_value(_text(first), "HEADER_BYTES")
    if size is None or not _BLOCK <= size <= _HEADER_LIMIT or size != int(size):
        given = "nothing" if size is None else f"{size:g}"
        raise FileError(f"the SMV image {path} has an impossible HEADER_BYTES of {given}")
    header = first + file.read(int(size) - _BLOCK)
    if len(header) < size:
        raise FileError(f"the SMV image {path} ends inside its header: {len(header)} bytes of {size:.0f}")
    return _text(header)


def _text(header: bytes) -> str:
    return header.split(b"\0", 1)[0].decode("latin-1")


def _shape(path: Path, header: str) -> tuple[int, int]:
    fpixels, spixels = header_value(header, "SIZE1"), header_value(header, "SIZE2")
    if not fpixels:
        fpixels = spixels = header_value(header, "DETECTOR_DIMENSIONS")
    for size in (fpixels, spixels):
        if size is None or not 1 <= size <= _SIDE_LIMIT or size != int(size):
            raise FileError(f"the SMV image {path} has an impossible size: SIZE1={fpixels}, SIZE2={spixels}")
    assert fpixels is not None and spixels is not None
    return int(spixels), int(fpixels)


def _pixel_type(path: Path, header: str) -> str:
    orders = re.findall(r"BYTE_ORDER=\s*(\w*)", header)
    order = {"little_endian": "<", "big_endian": ">"}.get(orders[-1] if orders else "")
    if order is None:
        raise FileError(f"the SMV image {path} must say BYTE_ORDER=little_endian or big_endian")
    # d*TREK has Data_type=unsigned short int
    found = re.findall(r"(?<!\w)(TYPE|Data_type)\s*=[ \t]*([^;\r\n}]*)", header)
    for key, kind in found[-1:]:
        if re.sub(r"[\s_]+", " ", kind).strip().lower() not in ("unsigned short", "unsigned short int", "mad"):
            raise FileError(f"the SMV image {path} must hold unsigned_short pixels, its {key} is {kind.strip()[:40]}")
    packing = re.findall(r"(?<!\w)COMPRESSION\s*=\s*(\w+)", header, re.IGNORECASE)
    if packing and packing[-1].lower() != "none":
        raise FileError(f"the SMV image {path} holds compressed pixels ({packing[-1]}), which are not read")
    return order + "u2"


def _check_length(path: Path, file: BinaryIO, shape: tuple[int, int]) -> None:
    """Refuse a truncated file before anything is allocated for its pixels."""
    if isinstance(file, io.BytesIO):
        _check_pixels(path, shape, len(file.getbuffer()) - file.tell())
        return
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode):
        _check_pixels(path, shape, status.st_size - file.tell())


def _check_pixels(path: Path, shape: tuple[int, int], found: int) -> None:
    expected = 2 * shape[0] * shape[1]
    if found < expected:
        raise FileError(
            f"the SMV image {path} is truncated: {shape[1]} x {shape[0]} pixels need {expected} bytes, {found} found"
        )


def _read_pixels(path: Path, file: BinaryIO, shape: tuple[int, int], dtype: str) -> np.ndarray:
    expected = 2 * shape[0] * shape[1]
    memory.require(expected, f"the SMV image {path}", "its SIZE1 and SIZE2 may be wrong")
    content = file.read(expected)
    _check_pixels(path, shape, len(content))
    return np.frombuffer(content, dtype).reshape(shape).astype(np.uint16)


@dataclass(frozen=True, kw_only=True)
class SmvGeometry:
    """Numbers of the header, named as in nanoBragg.c.

    Attributes
    ----------
    xbeam_mm, ybeam_mm : float
        Direct beam as the user's convention counts it.
    fbeam_mm, sbeam_mm : float
        Direct beam along the fast and the slow axis, from the corner of the first pixel.
    detsize_s_mm : float
        Size along the slow axis.
    dials_origin_mm : (3,) float
        Corner of the first pixel in the frame of DIALS.
    orgx, orgy : float
        Point nearest to the crystal, in pixels as XDS counts them.
    exposure_s, gain : float
        For the ``adsc`` flavour: seconds, and counts per photon.
    """

    fpixels: int
    spixels: int
    pixel_mm: float
    distance_mm: float
    wavelength_A: float
    xbeam_mm: float
    ybeam_mm: float
    fbeam_mm: float
    sbeam_mm: float
    detsize_s_mm: float
    dials_origin_mm: tuple[float, float, float]
    orgx: float
    orgy: float
    close_distance_mm: float
    phi_deg: float
    osc_deg: float
    twotheta_deg: float
    exposure_s: float = 1.0
    gain: float = 1.0


def smv_header(geometry: SmvGeometry, adc_offset: float, flavour: Flavour = "reference") -> bytes:
    """Whole header, padded to 512 bytes or the next multiple that holds it."""
    entries = _entries(geometry, adc_offset)
    digits = 6
    if flavour == "adsc":
        digits = 10
        entries = _adsc_entries(entries, geometry, adc_offset)
    body = "".join(
        f"{key}={value if isinstance(value, str) else f'{value:.{digits}g}'};\n" for key, value in entries.items()
    )
    size = _BLOCK
    while len(header := f"{{\nHEADER_BYTES={size};\n{body}}}\f") > size:
        size += _BLOCK
    return header.ljust(size).encode("ascii")


def _adsc_entries(entries: _Entries, g: SmvGeometry, adc_offset: float) -> _Entries:
    """The same keys without the mark of simulated images, with DENZO's beam centre and the keys of ADSC's readers."""
    entries = {key: value for key, value in entries.items() if key != "BEAMLINE"}
    entries["BEAM_CENTER_X"], entries["BEAM_CENTER_Y"] = g.sbeam_mm, g.fbeam_mm
    # without GAIN, DIALS guesses one from the number and size of the pixels
    return entries | {"TIME": g.exposure_s, "GAIN": g.gain, "IMAGE_PEDESTAL": float(adc_offset)}


def _entries(g: SmvGeometry, adc_offset: float) -> _Entries:
    return {
        "DIM": 2,
        "BYTE_ORDER": "little_endian",
        "TYPE": "unsigned_short",
        "SIZE1": str(g.fpixels),
        "SIZE2": str(g.spixels),
        "PIXEL_SIZE": g.pixel_mm,
        "DISTANCE": g.distance_mm,
        "WAVELENGTH": g.wavelength_A,
        "BEAM_CENTER_X": g.xbeam_mm,
        "BEAM_CENTER_Y": g.ybeam_mm,
        "ADXV_CENTER_X": g.fbeam_mm,
        "ADXV_CENTER_Y": g.detsize_s_mm - g.sbeam_mm,
        "MOSFLM_CENTER_X": g.sbeam_mm - 0.5 * g.pixel_mm,
        "MOSFLM_CENTER_Y": g.fbeam_mm - 0.5 * g.pixel_mm,
        "DENZO_X_BEAM": g.sbeam_mm,
        "DENZO_Y_BEAM": g.fbeam_mm,
        "DIALS_ORIGIN": "{:g},{:g},{:g}".format(*g.dials_origin_mm),
        "XDS_ORGX": g.orgx,
        "XDS_ORGY": g.orgy,
        "CLOSE_DISTANCE": g.close_distance_mm,
        "PHI": g.phi_deg,
        "OSC_START": g.phi_deg,
        "OSC_RANGE": g.osc_deg,
        "TWOTHETA": g.twotheta_deg,
        "DETECTOR_SN": "000",
        "BEAMLINE": "fake",
        "ADC_OFFSET": float(adc_offset),
    }


def write_smv(
    path: Path | str, data: np.ndarray, geometry: SmvGeometry, adc_offset: float, flavour: Flavour = "reference"
) -> None:
    """Write an image.

    Parameters
    ----------
    data : (spixels, fpixels) uint16
        Counts, pedestal included.
    adc_offset : float
        The pedestal, for the header.
    flavour : str
        ``reference``: the header of nanoBragg.c; ``adsc``: the one that DIALS places exactly.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    if data.dtype != np.uint16 or data.shape != (geometry.spixels, geometry.fpixels):
        raise TypeError(
            f"an SMV image of {geometry.spixels} rows and {geometry.fpixels} columns is a uint16 array of that shape, "
            f"got {data.dtype} {data.shape}"
        )
    with atomic_write(path) as file:
        file.write(smv_header(geometry, adc_offset, flavour))
        file.write(np.ascontiguousarray(data, dtype="<u2").data)
