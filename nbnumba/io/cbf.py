"""miniCBF: counts compressed by byte offsets (fabio's compressor) under a header of ``# key value`` lines.

The header convention is GENERIC_MINI, which DIALS keeps for simulated pixel detectors of any size. Such a header holds
only a distance, a beam centre and an angle; :func:`nbnumba.model.frames.dials_import_words` gives the rest of a
geometry as options of ``dials.import``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import numpy as np
from fabio.compression import compByteOffset, decByteOffset

from nbnumba.errors import FileError
from nbnumba.io.files import atomic_write, read_bytes
from nbnumba.model.frames import ImageGeometry

_STARTER = b"\x0c\x1a\x04\xd5"


def cbf_header(geometry: ImageGeometry, count_cutoff: int, gain: float = 1.0) -> str:
    """Lines of the header, each ``# key value``, joined by line ends.

    Parameters
    ----------
    count_cutoff : int
        Counts from which on a pixel is overloaded.
    gain : float
        Counts per photon.
    """
    g, panel = geometry, geometry.panel
    pixel = f"{panel.pixel_mm * 1e-3:.10g} m x {panel.slow_mm * 1e-3:.10g} m"
    beam = g.beam_fast_mm / panel.pixel_mm, g.beam_slow_mm / panel.slow_mm
    lines = [
        "Detector: nbnumba simulation",
        f"Pixel_size {pixel}",
        f"Exposure_time {g.exposure_s:.10g} s",
        f"Exposure_period {g.exposure_s:.10g} s",
        f"Count_cutoff {count_cutoff} counts",
        f"Gain {gain:.10g}",
        f"Wavelength {g.wavelength_A:.10g} A",
        f"Detector_distance {g.distance_mm * 1e-3:.12g} m",
        f"Beam_xy ({beam[0]:.12g}, {beam[1]:.12g}) pixels",
        f"Start_angle {g.phi_deg:.10g} deg.",
        f"Angle_increment {g.osc_deg:.10g} deg.",
    ]
    if g.thickness_mm > 0:  # "Silicon" makes DIALS correct for parallax
        lines.insert(2, f"Silicon sensor, thickness {g.thickness_mm * 1e-3:.10g} m")
    if g.flux > 0:
        lines.append(f"Flux {g.flux:.10g}")
    return "".join(f"# {line}\r\n" for line in lines)


def write_cbf(
    path: Path | str, counts: np.ndarray, geometry: ImageGeometry, count_cutoff: int, gain: float = 1.0
) -> None:
    """Write an image of the first panel.

    Parameters
    ----------
    counts : (spixels, fpixels) int32
        No pedestal; -1 where there is no measurement.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    panel = geometry.panel
    if counts.dtype != np.int32 or counts.shape != (panel.spixels, panel.fpixels):
        raise TypeError(
            f"a CBF image of {panel.spixels} rows and {panel.fpixels} columns is an int32 array of that shape, "
            f"got {counts.dtype} {counts.shape}"
        )
    packed = bytes(compByteOffset(np.ascontiguousarray(counts)))
    name = re.sub(r"\W", "_", Path(path).stem) or "image"
    text = (
        "###CBF: VERSION 1.5\r\n\r\n"
        f"data_{name}\r\n\r\n"
        '_array_data.header_convention "GENERIC_MINI"\r\n'
        f"_array_data.header_contents\r\n;\r\n{cbf_header(geometry, count_cutoff, gain)};\r\n\r\n"
        "_array_data.data\r\n;\r\n"
        "--CIF-BINARY-FORMAT-SECTION--\r\n"
        "Content-Type: application/octet-stream;\r\n"
        '     conversions="x-CBF_BYTE_OFFSET"\r\n'
        "Content-Transfer-Encoding: BINARY\r\n"
        f"X-Binary-Size: {len(packed)}\r\n"
        "X-Binary-ID: 1\r\n"
        'X-Binary-Element-Type: "signed 32-bit integer"\r\n'
        "X-Binary-Element-Byte-Order: LITTLE_ENDIAN\r\n"
        f"Content-MD5: {base64.b64encode(hashlib.md5(packed).digest()).decode()}\r\n"
        f"X-Binary-Number-of-Elements: {counts.size}\r\n"
        f"X-Binary-Size-Fastest-Dimension: {panel.fpixels}\r\n"
        f"X-Binary-Size-Second-Dimension: {panel.spixels}\r\n"
        "X-Binary-Size-Padding: 1\r\n\r\n"
    )
    with atomic_write(path) as file:
        file.write(text.encode("ascii", "replace"))
        file.write(_STARTER + packed + b"\0")
        file.write(b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n")


def read_cbf(path: Path | str) -> np.ndarray:
    """Pixels of the first image of a CBF file, (slow, fast) int32 or int64.

    Raises
    ------
    FileError
        The file cannot be read, is cut off, or is not compressed by byte offsets.
    """
    what = f"the CBF image {path}"
    head, mark, packed = read_bytes(path, "CBF image").partition(_STARTER)
    if not mark:
        raise FileError(f"{what} ends before its pixels begin: is it cut off?")
    header = head.decode("latin-1")
    if "x-CBF_BYTE_OFFSET" not in header:
        raise FileError(f"{what} must be compressed by byte offsets (x-CBF_BYTE_OFFSET); no other compression is read")

    def number(key: str) -> int:
        found = re.search(rf"^X-Binary-{key}:\s*(\d{{1,12}})\s*$", header, re.MULTILINE)
        if found is None:
            raise FileError(f"{what} has no X-Binary-{key} in its header")
        return int(found[1])

    size = number("Size")
    shape = number("Size-Second-Dimension"), number("Size-Fastest-Dimension")
    # a pixel takes at least one byte
    if size > len(packed) or not 0 < shape[0] * shape[1] <= size:
        raise FileError(f"{what} is cut off: {shape[1]} x {shape[0]} pixels in {size} bytes, found {len(packed)}")
    narrow = '"signed 32-bit integer"' in header
    # the decompressor looks up to 14 bytes beyond the last one
    values = decByteOffset(packed[:size] + bytes(16), shape[0] * shape[1], dtype="int32" if narrow else "int64")
    if len(values) != shape[0] * shape[1]:
        raise FileError(f"{what} holds {len(values)} pixels, not {shape[1]} x {shape[0]}")
    return np.asarray(values).reshape(shape)
