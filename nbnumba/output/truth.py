"""Truth of an image: the reflection of each pixel, Bragg photons and background separately, and a list of spots.

A pixel belongs to the reflection with the strongest single term of its sum. A spot consists of all pixels that belong to a
reflection, its tails included; reflections far from the Ewald sphere are not listed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.model.config import Background
from nbnumba.model.crystal import RTD
from nbnumba.model.frames import ImageGeometry
from nbnumba.render.inputs import build_inputs
from nbnumba.render.simulate import Result, simulate

#: A reflection is listed if its lattice factor reaches this fraction of its peak in a pixel.
SPOT_SHARE = 1e-3
#: Columns of a list of spots: indices, expected Bragg photons, their centre in pixels from the corner of the panel,
#: number of pixels, brightest pixel, mean wavelength and spindle angle, largest share of the lattice factor's peak.
SPOT = np.dtype(
    [
        *((name, np.int32) for name in ("h", "k", "l")),
        *((name, np.float64) for name in ("photons", "fast_px", "slow_px")),
        ("pixels", np.int32),
        ("peak_photons", np.float64),
        ("wavelength_A", np.float64),
        ("phi_deg", np.float64),
        ("lattice_share", np.float64),
    ]
)


@dataclass(frozen=True, eq=False)
class PanelTruth:
    """Truth of the image of one panel.

    Attributes
    ----------
    hkl : (slow, fast, 3) int32
        Reflection of each pixel; 0 0 0 where there is none.
    wavelength_A, phi_deg, lattice_share : (slow, fast) float32
        Values of its strongest term; NaN, NaN and 0 where there is none.
    bragg, background : (slow, fast) float32
        Expected photons; their sum is the image.
    spots : (n,) of SPOT
        Brightest first.
    """

    hkl: np.ndarray
    wavelength_A: np.ndarray
    phi_deg: np.ndarray
    lattice_share: np.ndarray
    bragg: np.ndarray
    background: np.ndarray
    spots: np.ndarray


def find_truth(result: Result) -> tuple[PanelTruth, ...]:
    """Truth of the image of every panel.

    Takes about as long as the general kernel on the CPU. With the reference's water the crystal is rendered again
    without it, as the photons of both cannot be separated afterwards.
    """
    bragg = _bragg_images(result)
    return tuple(_panel_truth(result, index, bragg[index]) for index in range(len(result.images)))


def _bragg_images(result: Result) -> tuple[np.ndarray, ...]:
    if result.experiment.simulation.background.water_um > 0:
        dry = replace(result.experiment.simulation, background=Background())
        return simulate(dry, device=result.device).images
    return result.images if result.bragg is None else result.bragg


def _panel_truth(result: Result, index: int, bragg: np.ndarray) -> PanelTruth:
    from nbnumba.kernels.cpu.truth import strongest_rows

    experiment, inputs, shape = result.experiment, build_inputs(result.experiment, index), bragg.shape
    hkl = np.zeros((*shape, 3), np.int32)
    source, orientation = np.full(shape, -1, np.int32), np.zeros(shape, np.int32)
    lattice = np.zeros(shape, np.float32)
    strongest_rows(
        hkl,
        source,
        orientation,
        lattice,
        inputs.panel,
        inputs.crystal,
        inputs.cell,
        inputs.beam.dmin,
        inputs.sources,
        inputs.cells,
        inputs.Fhkl,
        inputs.mask,
    )
    lit = source >= 0
    domains = len(experiment.crystal.umats)
    wavelength = np.where(lit, experiment.sources.wavelengths[source] * 1e10, np.nan).astype(np.float32)
    phi = np.where(lit, experiment.scan.phi[orientation // domains] * RTD, np.nan).astype(np.float32)
    return PanelTruth(
        hkl=hkl,
        wavelength_A=wavelength,
        phi_deg=phi,
        lattice_share=lattice,
        bragg=bragg,
        background=result.images[index] - bragg,
        spots=list_spots(hkl, lit, bragg, wavelength, phi, lattice),
    )


def list_spots(
    hkl: np.ndarray, lit: np.ndarray, bragg: np.ndarray, wavelength: np.ndarray, phi: np.ndarray, lattice: np.ndarray
) -> np.ndarray:
    """Spots of a panel, (n,) of SPOT, brightest first; the arrays as in :class:`PanelTruth`."""
    s, f = np.nonzero(lit)
    indices, member = np.unique(hkl[s, f], axis=0, return_inverse=True)
    member = member.ravel()
    light = bragg[s, f].astype(np.float64)
    spots = np.zeros(len(indices), SPOT)
    for axis, name in enumerate("hkl"):
        spots[name] = indices[:, axis]

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(member, values, minlength=len(indices))

    spots["photons"] = total(light)
    spots["pixels"] = np.bincount(member, minlength=len(indices))
    np.maximum.at(spots["peak_photons"], member, light)
    np.maximum.at(spots["lattice_share"], member, lattice[s, f])
    spots = spots[keep := (spots["photons"] > 0) & (spots["lattice_share"] >= SPOT_SHARE)]
    columns = {"fast_px": f + 0.5, "slow_px": s + 0.5, "wavelength_A": wavelength[s, f], "phi_deg": phi[s, f]}
    for name, values in columns.items():
        spots[name] = total(light * values)[keep] / spots["photons"]
    return spots[np.argsort(-spots["photons"], kind="stable")]


def write_truth(path: Path | str, panels: tuple[PanelTruth, ...], geometry: ImageGeometry | None = None) -> None:
    """Write HDF5: a group ``panel_0``, ``panel_1``, ... for each panel with the fields of :class:`PanelTruth`.

    Parameters
    ----------
    geometry : ImageGeometry, optional
        Position of the panels, which becomes attributes of their groups, and of beam and spindle.

    Raises
    ------
    FileError
        It cannot be written.
    """
    from nbnumba.io.hdf5 import bitshuffle, new_hdf5

    with new_hdf5(path) as file:
        file.attrs["content"] = "nbnumba truth"
        if geometry is not None:
            file.attrs["frame"] = "imgCIF: z from the crystal to the source"
            file.attrs["beam"], file.attrs["spindle"] = (0.0, 0.0, -1.0), geometry.spindle
        for index, panel in enumerate(panels):
            group = file.create_group(f"panel_{index}", track_order=True)
            if geometry is not None:
                _place(group, geometry, index)
            for name, values in vars(panel).items():
                packed = {} if values.ndim < 2 else dict(bitshuffle(), chunks=values.shape)
                group.create_dataset(name, data=values, track_times=False, **packed)
            for name in ("bragg", "background"):
                group[name].attrs["units"] = "photons"


def _place(group: Any, geometry: ImageGeometry, index: int) -> None:
    """Position of a panel, and of its first pixel in the array of ``--nexus``, as attributes."""
    panel = geometry.panels[index]
    attributes = {
        "name": panel.name,
        "origin_mm": panel.origin_mm,
        "fast_axis": panel.fast,
        "slow_axis": panel.slow,
        "pixel_mm": (panel.pixel_mm, panel.slow_mm),
        "slow_fast": geometry.layout.corners[index],
    }
    for key, value in attributes.items():
        group.attrs[key] = value
