"""Images of HDF5 files: NXmx, master files of DECTRIS' filewriter, and files as CrystFEL has them.

Arrays are (slow, fast), (images, slow, fast) or (images, panels, slow, fast); (panels, slow, fast) where the detector modules
say so. Images may be spread over several data sets, as behind the links ``data_000001``, ``data_000002``, ... of a master file;
they are then counted through. Panels lie below one another, as in nbnumba's own files (:mod:`nbnumba.model.data_layout`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nbnumba.errors import ConfigError, FileError
from nbnumba.io.files import cause
from nbnumba.io.nxmx_geometry import Nexus

#: Places of images in files without NXdata and without a detector's data, most usual first.
PLACES = (
    *(
        "/entry/data/data",
        "/entry_1/data_1/data",
        "/entry_1/instrument_1/detector_1/data",
        "/data/data",
        "/data/rawdata",
    ),
    *("/data/rawdata0", "/entry/data/raw_counts", "/entry/data/counts"),
)
#: Most pixels of an image: a false number would fill the memory.
MOST_PIXELS = 1 << 27
#: Names of numbered data sets.
_NUMBERED = re.compile(r"(.*?)(\d+)")
#: What h5py raises for damage, a class for each kind.
_DAMAGE = (OSError, LookupError, ValueError, TypeError, RuntimeError, AttributeError, ArithmeticError, MemoryError)


def read_hdf5_image(path: Path, image: int | None = None, *, panels: bool = False) -> np.ndarray:
    """An image (slow, fast); with ``panels``, (panels, slow, fast) where the panels have an axis of their own.

    Parameters
    ----------
    image : int, optional
        Number of the image, from 1; needed where there are several.

    Raises
    ------
    FileError
        The file cannot be read, holds no images, or has no image of this number.
    ConfigError
        There are several images, and none is chosen.
    """
    with _opened(path) as file:
        data, index = _locate(file, image)
        _check_sources(data, index)
        values = data[()] if index is None else data[index]
    return values if panels or values.ndim == 2 else values.reshape(-1, values.shape[-1])


def count_hdf5_images(path: Path) -> int:
    """Number of images, without those behind links to files that are missing.

    Raises
    ------
    FileError
        The file cannot be read, or holds no images.
    """
    with _opened(path) as file:
        return _count(file, _find(file))


def read_hdf5_mask(path: Path, image: int | None = None, *, panels: bool = False) -> np.ndarray | None:
    """Which pixels are good (slow, fast): those that are 0 in the ``pixel_mask`` of the first detector that has one.

    Parameters
    ----------
    image : int, optional
        Number of the image, from 1, where each has a mask of its own; by default the first.
    panels : bool
        As of :func:`read_hdf5_image`.

    Raises
    ------
    FileError
        The file cannot be read, its mask is none, or has no image of this number.
    """
    with _opened(path) as file:
        data = next(_masks(file), None)
        if data is None:
            return None
        if not hasattr(data, "dtype") or data.dtype.kind not in "biu" or not 2 <= data.ndim <= 4 or not data.size:
            raise FileError(f"{file.what}: {data.name} is no mask of its pixels")
        _check_size(file, data, data.shape[-2:])
        good = _mask_of(file, data, 1 if image is None else image) == 0
    return good if panels or good.ndim == 2 else good.reshape(-1, good.shape[-1])


@contextmanager
def _opened(path: Path) -> Iterator[Nexus]:
    try:
        import hdf5plugin  # noqa: F401  # filters of compressed data

        with h5py.File(path, "r") as file:
            found = Nexus(path, file)
            found.what = f"the HDF5 file {path}"
            yield found
    except (ConfigError, FileError):
        raise
    except _DAMAGE as error:
        reason = cause(error) if isinstance(error, OSError) else str(error)
        reason = next(iter(reason.splitlines()), "") or type(error).__name__
        raise FileError(f"the image {path} cannot be read: {reason}") from error


def _locate(file: Nexus, image: int | None) -> tuple[h5py.Dataset, int | None]:
    """Data set of an image, and its index there; None where the data set is the image."""
    links = _find(file)
    if image is None and (total := _count(file, links)) > 1:
        raise ConfigError(f"{file.path} holds {total} images: choose one by --image N, from 1")
    wanted = 1 if image is None else image
    before = 0
    for link in links if wanted > 0 else ():
        data = _dataset(file, *link)
        count = _length(file, data)
        if wanted <= before + count:
            return data, wanted - 1 - before if _is_stack(file, data) else None
        before += count
    raise _no_image(file, wanted, _count(file, links))


def _count(file: Nexus, links: Sequence[tuple[Any, str]]) -> int:
    """Number of images, without those in files that are missing, unless all are."""
    there = [link for link in links if Nexus.has(*link)]
    return sum(_length(file, _dataset(file, *link)) for link in there or links[:1])


def _no_image(file: Nexus, image: int, count: int) -> FileError:
    held = "one image" if count == 1 else f"{count} images"
    return FileError(f"{file.path} holds {held}: there is no image {image}")


def _find(file: Nexus) -> list[tuple[Any, str]]:
    """Groups and names of the data sets of images, in their order.

    Raises
    ------
    FileError
        There are none, or several that may be meant.
    """
    root = file.file
    entries = _default_first(file, root, file.all(root, "NXentry"))
    for entry in entries:
        for group in _default_first(file, entry, file.all(entry, "NXdata")):
            if found := _signal(file, group):
                return found
    for entry in entries:
        for instrument in file.all(entry, "NXinstrument"):
            for detector in file.all(instrument, "NXdetector"):
                if found := _named_data(detector):
                    return found
    for place in PLACES:
        if file.has(root, place) and _may_be_images(root[place]):
            return [(root, place)]
    places: list[str] = []
    if not entries:  # else what there is may be a mask
        root.visititems(lambda name, item: places.append(name) if _may_be_images(item) and item.shape[-2] > 1 else None)
    if len(places) == 1:
        return [(root, places[0])]
    if places:
        listed = ", ".join(f"/{place}" for place in places[:4])
        raise FileError(f"{file.what} has no NXdata that names its images, which may be {listed}")
    raise FileError(f"{file.what} holds no images")


def _default_first(file: Nexus, parent: Any, groups: list[Any]) -> list[Any]:
    """The groups, that which their parent names as its default before the others."""
    name = file.text(parent.attrs.get("default", "")).rsplit("/", 1)[-1]
    return sorted(groups, key=lambda group: group.name.rsplit("/", 1)[-1] != name)


def _signal(file: Nexus, group: Any) -> list[tuple[Any, str]]:
    """The data sets that an NXdata names as its signal, by its attribute or by one of theirs, else those of the usual names."""
    name = file.text(group.attrs.get("signal", "")).strip()
    names = list(group)  # also of links that lead to nothing
    marked = [key for key in names if file.has(group, key) and str(group[key].attrs.get("signal", "")) == "1"]
    for signal in (name, *marked):
        if signal in names and (not file.has(group, signal) or _may_be_images(group[signal])):
            return _numbered(group, signal)
    return _named_data(group)


def _named_data(group: Any) -> list[tuple[Any, str]]:
    """``data`` of a group, else ``data_000001``, ``data_000002``, ..."""
    if "data" in list(group) and (not Nexus.has(group, "data") or _may_be_images(group["data"])):
        return [(group, "data")]
    names = [name for name in group if (match := _NUMBERED.fullmatch(name)) and match[1] == "data_"]
    return _numbered(group, names[0]) if names else []


def _numbered(group: Any, name: str) -> list[tuple[Any, str]]:
    """The data sets whose names differ from this one in their number, in the order of the numbers."""
    own = _NUMBERED.fullmatch(name)
    if own is None:
        return [(group, name)]
    found = [match for other in group if (match := _NUMBERED.fullmatch(other)) and match[1] == own[1]]
    return [(group, match[0]) for match in sorted(found, key=lambda match: int(match[2]))]


def _may_be_images(item: Any) -> bool:
    return isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and 2 <= item.ndim <= 4 and item.size > 0


def _dataset(file: Nexus, group: Any, name: str) -> h5py.Dataset:
    """The data set of a link.

    Raises
    ------
    FileError
        It leads to nothing, or not to images.
    """
    if not file.has(group, name):
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            there = (Path(group.file.filename).parent / link.filename).exists() or Path(link.filename).exists()
            reason = f"where there is no readable {link.path}" if there else "which is missing: put it beside the file"
            raise FileError(f"{file.what} has its images in {link.filename}, {reason}")
        raise FileError(f"{file.what}: {group.name}/{name} leads to no data set")
    data = group[name]
    if not _may_be_images(data):
        raise FileError(f"{file.what}: {data.name} holds no images")
    _check_size(file, data, data.shape[1:] if _is_stack(file, data) else data.shape)
    return data


def _check_size(file: Nexus, data: h5py.Dataset, shape: tuple[int, ...]) -> None:
    """Refuse images that are too large, and data sets that have no pixels in the file."""
    if math.prod(shape) > MOST_PIXELS:
        raise FileError(
            f"{file.what}: {data.name} claims {' x '.join(map(str, shape))} pixels an image, which is too many"
        )
    if not data.is_virtual and data.external is None and data.id.get_storage_size() == 0:
        raise FileError(f"{file.what}: the pixels of {data.name} were never written")


def _is_stack(file: Nexus, data: h5py.Dataset) -> bool:
    """Whether the first axis of a data set is that of images."""
    return data.ndim == 4 or (data.ndim == 3 and not _has_panel_axis(file, data.shape))


def _length(file: Nexus, data: h5py.Dataset) -> int:
    """Number of images of a data set."""
    return len(data) if _is_stack(file, data) else 1


def _has_panel_axis(file: Nexus, shape: tuple[int, ...]) -> bool:
    """Whether the first of three axes is that of panels: the detector modules then have their places along it."""
    ends = []
    for entry in file.all(file.file, "NXentry"):
        for instrument in file.all(entry, "NXinstrument"):
            for detector in file.all(instrument, "NXdetector"):
                for module in file.all(detector, "NXdetector_module"):
                    both = [module.get(name) for name in ("data_origin", "data_size")]
                    if not all(isinstance(one, h5py.Dataset) and one.shape == (3,) for one in both):
                        return False
                    ends.append(sum(int(one[0]) for one in both))
    return len(ends) > 1 and max(ends) == shape[0]


def _check_sources(data: h5py.Dataset, index: int | None) -> None:
    """Refuse a virtual data set whose image is in a file that is missing: HDF5 would give zeros.

    Raises
    ------
    FileError
        The sentence names the file.
    """
    if not data.is_virtual:
        return
    folder = Path(data.file.filename).parent
    for source in data.virtual_sources():
        name = source.file_name
        if name == "." or "%" in name:  # the file itself, or a pattern of names
            continue
        if index is not None and not _covers(source.vspace, index):
            continue
        if not any(place.exists() for place in (folder / name, Path(name))):
            raise FileError(f"{data.file.filename} has its images in {name}, which is missing: put it beside the file")


def _covers(space: Any, index: int) -> bool:
    """Whether a selection, which may be of every other image or without an end, has pixels of an image."""
    if space.get_select_type() == h5py.h5s.SEL_HYPERSLABS and space.is_regular_hyperslab():
        start, stride, count, block = (int(values[0]) for values in space.get_regular_hyperslab())
        away = index - start
        return away >= 0 and away // stride < count and away % stride < block
    low, high = space.get_select_bounds()
    return bool(low[0] <= index <= high[0])


def _mask_of(file: Nexus, data: h5py.Dataset, image: int) -> np.ndarray:
    """The mask of an image: one for all, or one for each."""
    if data.ndim == 2 or (data.ndim == 3 and (_has_panel_axis(file, data.shape) or data.shape == _image_shape(file))):
        found: np.ndarray = data[()]
    elif len(data) == 1:
        found = data[0]
    elif 1 <= image <= len(data):
        found = data[image - 1]
    else:
        raise _no_image(file, image, len(data))
    return found


def _image_shape(file: Nexus) -> tuple[int, ...]:
    """Shape of an image; () where no image is at hand."""
    try:
        data = _dataset(file, *next(link for link in _find(file) if Nexus.has(*link)))
    except (FileError, StopIteration):
        return ()
    return data.shape[1:] if _is_stack(file, data) else data.shape


def _masks(file: Nexus) -> Iterator[Any]:
    """Pixel masks of all detectors."""
    for entry in file.all(file.file, "NXentry"):
        for instrument in file.all(entry, "NXinstrument"):
            for detector in file.all(instrument, "NXdetector"):
                for name in ("pixel_mask", "detectorSpecific/pixel_mask"):
                    if file.has(detector, name):
                        yield detector[name]
