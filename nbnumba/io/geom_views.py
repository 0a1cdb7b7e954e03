"""Data sets of an image file in the layout that a CrystFEL geometry file describes, so that it reads the file.

The counts are in the file once. A layout that is theirs gets a second name (a hard link); any other is a virtual data
set, which refers to the counts panel by panel.
"""

from __future__ import annotations

import h5py
import numpy as np

from nbnumba.errors import FileError
from nbnumba.model.data_layout import Corner, Layout, View

#: Index of a part of a data set.
Index = tuple[int | slice, ...]


def is_whole(view: View, layout: Layout) -> bool:
    """Whether a view is the array of all panels itself, with the images along its first axis."""
    return view.axes == ("%", "ss", "fs") and view.shape[1:] == layout.shape and "%" not in view.path


def write(file: h5py.File, data: str, layout: Layout, gap: int, pixel_mask: np.ndarray | None) -> None:
    """Write the views of the counts that are in ``data``, and their masks.

    Several images need an axis, or a part of the name, that differs from image to image: without one, a file of several
    images gets no view.

    Parameters
    ----------
    gap : int
        Value of pixels that are in no panel.
    pixel_mask : array of int or None
        As the panels are arranged; 0: good.

    Raises
    ------
    FileError
        The name of a view is one that the file has already for something else.
    """
    images = file[data].shape[0]
    for view in layout.views:
        if images > 1 and "%" not in (*view.axes, *view.path.split("/")):
            continue
        try:
            if is_whole(view, layout):
                if view.path not in file:
                    file[view.path] = file[data]
            else:
                _write_virtual(file, data, layout, view, gap)
            for mask in view.masks:
                _write_mask(file, layout, view, mask, pixel_mask)
        except (ValueError, TypeError, OSError, KeyError, RuntimeError) as error:
            raise FileError(f"cannot write {view.path}, the data set of the geometry file: {error}") from error


def _write_virtual(file: h5py.File, data: str, layout: Layout, view: View, gap: int) -> None:
    images = file[data].shape[0]
    source = h5py.VirtualSource(".", data, file[data].shape, np.int32)
    if "%" in view.path.split("/"):
        for image in range(images):
            target = h5py.VirtualLayout(view.shape, np.int32)
            _refer(target, source, layout, view, image, 0)
            file.create_virtual_dataset(_named(view.path, image), target, fillvalue=gap)
        return
    axis = view.axes.index("%") if "%" in view.axes else None
    shape = (images if number == axis else size for number, size in enumerate(view.shape))
    target = h5py.VirtualLayout(tuple(shape), np.int32)
    if axis == 0:
        _refer(target, source, layout, view, slice(0, images), slice(0, images))
    else:  # the pieces must have the order of the counts, in which images come first
        for image in range(images):
            _refer(target, source, layout, view, image, image)
    file.create_virtual_dataset(view.path, target, fillvalue=gap)


def _refer(
    target: h5py.VirtualLayout,
    source: h5py.VirtualSource,
    layout: Layout,
    view: View,
    image: int | slice,
    place: int | slice,
) -> None:
    """Let every panel's part of a view refer to its counts; ``place``: index along the view's first axis of images."""
    for member in view.members:
        target[_part(layout, view, member, place)] = source[(image, *layout.part(member[0]))]


def _part(layout: Layout, view: View, member: tuple[int, Corner, tuple[int, ...]], image: int | slice) -> Index:
    """Index of a panel in a view."""
    number, (slow, fast), fixed = member
    indices, (spixels, fpixels) = iter(fixed), layout.sizes[number]
    size = {"ss": slice(slow, slow + spixels), "fs": slice(fast, fast + fpixels)}
    images = iter((image,))
    return tuple(next(indices) if axis == "#" else next(images, 0) if axis == "%" else size[axis] for axis in view.axes)


def _named(path: str, image: int) -> str:
    """Name of the data set of an image, from 1."""
    return "/".join(str(image + 1) if part == "%" else part for part in path.split("/"))


def _write_mask(
    file: h5py.File, layout: Layout, view: View, mask: tuple[str, int, int], pixel_mask: np.ndarray | None
) -> None:
    """Write a mask for all images, with the bits that the geometry file gives to good and to bad pixels."""
    path, good, bad = mask
    if path in file or "%" in path.split("/"):
        return
    axes = [number for number, axis in enumerate(view.axes) if axis != "%"]
    # a pixel is bad if a bit of good ones is missing, or if it has a bit of bad ones
    values = np.full([view.shape[number] for number in axes], bad & ~good or 0, np.uint32)
    for member in view.members:
        number, part = member[0], _part(layout, view, member, 0)
        found = np.zeros(layout.sizes[number], np.uint32) if pixel_mask is None else pixel_mask[layout.part(number)]
        values[tuple(part[axis] for axis in axes)] = np.where(found > 0, bad & ~good, good)
    file.create_dataset(path, data=values, track_times=False, compression="gzip", shuffle=True)
