"""CrystFEL's streams: results of indexing, a chunk for each image, with the geometry file that was used.

The frame is that of the geometry file: z along the beam. A crystal's a*, b*, c* (nm^-1) are those of the image. A
``predict_refine/det_shift`` moves the detector of its crystal: CrystFEL adds it to the corners of all panels (``geometry.c``,
``locate_peak_on_panel``). The mean of all panels' distances is the chunk's ``average_camera_length``, to a micrometre.

Streams are large. The file is searched for the marks of chunks and crystals; only what is asked for is parsed.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.crystfel import geometry_of
from nbnumba.io.geom_content import Content, GeomText, Known, text_lines
from nbnumba.io.geometry import FileGeometry, vector
from nbnumba.io.kept import kept
from nbnumba.io.packed import read_unpacked
from nbnumba.io.stream_chunk import BEGIN_CRYSTAL, StreamChunk, Wrong, parse_chunk

MAGIC = b"CrystFEL stream format "
_BEGIN_GEOMETRY, _END_GEOMETRY = b"----- Begin geometry file -----", b"----- End geometry file -----"
_BEGIN_CHUNK, _END_CHUNK = b"----- Begin chunk -----", b"----- End chunk -----"


def read_stream(path: Path | str) -> list[StreamChunk]:
    """All chunks of a stream. One that was not completed, at the end of a file, is left out, as CrystFEL does.

    Raises
    ------
    FileError
        The file cannot be read, is no stream, or a chunk is damaged.
    """
    return list(_Stream.of(Path(path)).chunks())


def read_stream_geometry(
    path: Path | str,
    image: int | None = None,
    index: int | None = None,
    *,
    distance_mm: float | None = None,
    wavelength_A: float | None = None,
) -> FileGeometry:
    """Geometry of a stream, with one of its crystals.

    Parameters
    ----------
    image : int, optional
        Number of the chunk, from 1; its first crystal is taken, if it has one.
    index : int, optional
        Which crystal of the stream, counted from 0 through all chunks; by default the first.
    distance_mm, wavelength_A : float, optional
        As for :func:`nbnumba.io.crystfel.read_geom`.

    Raises
    ------
    FileError
        The file cannot be read, is no stream, has no such crystal or chunk, or its geometry file is not complete.
    """
    stream = _Stream.of(Path(path))
    chunk, place, notes = stream.choose(image, index)
    radius = None if place is None else chunk.profile_radii[place]
    text = replace(
        stream.geometry(),
        known=Known(chunk.numbers, chunk.wavelength_A, chunk.camera_length_m),
        unused=(*chunk.unused, *([f"profile_radius {radius:g} nm^-1"] if radius else [])),
    )
    found = geometry_of(Content(text), distance_mm=distance_mm, wavelength_A=wavelength_A)
    if place is None:
        return replace(found, format="stream", notes=(*notes, *found.notes))
    x, y = chunk.shifts_mm[place]
    panels = tuple(
        replace(panel, pix0_mm=vector(np.add(panel.pix0_mm, (x, y, 0.0)))) if x or y else panel
        for panel in found.panels
    )
    return replace(
        found, format="stream", panels=panels, reciprocal=chunk.crystals[place], notes=(*notes, *found.notes)
    )


def read_chunk(path: Path | str, image: int | None = None, index: int | None = None) -> tuple[StreamChunk, int | None]:
    """The chunk that :func:`read_stream_geometry` takes for the same numbers, and which of its crystals; None: it has none.

    Raises
    ------
    FileError
        As there, but for the geometry file.
    """
    return _Stream.of(Path(path)).choose(image, index)[:2]


def read_stream_geom(path: Path | str) -> GeomText:
    """The geometry file in a stream.

    Raises
    ------
    FileError
        The file cannot be read, is no stream, or has none.
    """
    return _Stream.of(Path(path)).geometry()


class _Stream:
    """A stream and the places of its chunks and crystals."""

    def __init__(self, path: Path) -> None:
        self.path, self.what = path, f"CrystFEL stream {path}"
        data = read_unpacked(path, "CrystFEL stream")
        self.data = data.removeprefix(b"\xef\xbb\xbf")
        if not self.data.startswith(MAGIC + b"2."):
            shown = self.data[: len(MAGIC) + 4].split(b"\n")[0]
            raise FileError(f"the {self.what} begins with {shown!r}: its format must be 2.0 to 2.3")
        self.bytes = np.frombuffer(self.data, np.uint8)  # counts as memory of what is kept
        begins, ends = self.marks(_BEGIN_CHUNK), self.marks(_END_CHUNK)
        self.spans = list(_pairs(begins, ends))
        crystals = self.marks(BEGIN_CRYSTAL.encode())
        #: Number of crystals before each chunk, and of all of them.
        self.before = [0]
        for begin, end in self.spans:
            self.before.append(self.before[-1] + bisect.bisect(crystals, end) - bisect.bisect(crystals, begin))

    @classmethod
    def of(cls, path: Path) -> _Stream:
        """The stream in a file, kept until the file changes: many images are refined from one."""
        return kept(path, "stream", lambda: cls(path))

    def marks(self, mark: bytes) -> list[int]:
        """Places of lines that begin with a mark."""
        found, at = [], self.data.find(b"\n" + mark)
        while at >= 0:
            found.append(at + 1)
            at = self.data.find(b"\n" + mark, at + 1)
        return found

    def line(self, place: int) -> int:
        """Number of the line at a place."""
        return self.data.count(b"\n", 0, place) + 1

    def geometry(self) -> GeomText:
        """The geometry file."""
        begin = self.data.find(b"\n" + _BEGIN_GEOMETRY)
        end = self.data.find(b"\n" + _END_GEOMETRY, begin)
        if begin < 0 or end < 0:
            raise FileError(f"the {self.what} has no geometry file: give the .geom that it was made with")
        lines = text_lines(self.data[begin + 1 : end], self.what)[1:]
        return GeomText(path=self.path, lines=lines, what=self.what, first=self.line(begin + 1) + 1)

    def chunks(self) -> Iterator[StreamChunk]:
        """All chunks."""
        return (self.chunk(number) for number in range(1, len(self.spans) + 1))

    def chunk(self, number: int) -> StreamChunk:
        """A chunk, by its number from 1."""
        begin, end = self.spans[number - 1]
        try:
            chunk = parse_chunk(text_lines(self.data[begin:end], self.what), number)
        except Wrong as wrong:
            where = f"line {self.line(begin) + wrong.line} of the {self.what}"
            raise FileError(f"{where}: {wrong}") from None
        if len(chunk.crystals) != self.before[number] - self.before[number - 1]:
            raise FileError(f"line {self.line(begin)} of the {self.what}: a list or a crystal in the chunk has no end")
        return chunk

    def choose(self, image: int | None, index: int | None) -> tuple[StreamChunk, int | None, list[str]]:
        """The chunk that is wanted, the number of its crystal that is, and what to tell the user."""
        crystals, count = self.before[-1], len(self.spans)
        if not count:
            raise FileError(f"the {self.what} has no complete chunk: it has no results")
        if image is not None and not 1 <= image <= count:
            raise FileError(f"the {self.what} holds chunks 1 to {count}: there is no image {image}")
        if index is not None and not 0 <= index < crystals:
            last = f", 0 to {crystals - 1}" if crystals > 1 else ""
            raise FileError(f"the {self.what} has {crystals} crystals{last}: there is no number {index}")
        if index is None and image is None:
            if not crystals:
                return self.chunk(1), None, []
            notes = [f"the {self.what} has {crystals} crystals: number 0 is taken; --experiment N takes another one"]
            return *self.choose(None, 0)[:2], notes if crystals > 1 else []
        if index is None:
            assert image is not None
            first, after = self.before[image - 1 : image + 1]
            notes = [f"chunk {image} of the {self.what} has {after - first} crystals: the first is number {first}"]
            return self.chunk(image), 0 if after > first else None, notes if after - first > 1 else []
        found = bisect.bisect_right(self.before, index)
        if image is not None and image != found:
            raise FileError(f"crystal {index} of the {self.what} is in chunk {found}, not in {image}: give one of both")
        return self.chunk(found), index - self.before[found - 1], []


def _pairs(begins: list[int], ends: list[int]) -> Iterator[tuple[int, int]]:
    """Begin and end of every chunk that has both."""
    for number, begin in enumerate(begins):
        place = bisect.bisect_right(ends, begin)
        limit = begins[number + 1] if number + 1 < len(begins) else None
        if place < len(ends) and (limit is None or ends[place] < limit):
            yield begin, ends[place]
