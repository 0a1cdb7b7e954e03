"""The general sum of one pixel: every flag, float64, the reference's order of loops.

Body of both general kernels and of the trace. The three corrections follow nanoBragg.c: without the ``oversample_*``
flags the pixel gets the solid angle of its first sub-pixel and layer, the capture fraction of the first sub-pixel of
its last layer, and the polarization of the first source that the resolution limit leaves; with a flag, the *running
sum* is multiplied by that factor after every term, so that the order of the loops is part of the definition.
"""

from __future__ import annotations

from nbnumba.kernels.formulas.absorption import capture_fraction
from nbnumba.kernels.formulas.corrections import photons, source_polarization, takes_polarization, weight_and_factor
from nbnumba.kernels.formulas.geometry import subpixel_ray
from nbnumba.kernels.formulas.lattice import F_latt
from nbnumba.kernels.formulas.resolution import is_cut_by_length
from nbnumba.kernels.formulas.scattering import cell_axes, fractional_indices, scattering_vector
from nbnumba.kernels.formulas.solid_angle import omega_pixel
from nbnumba.kernels.formulas.structure import in_range, nearest, tricubic
from nbnumba.kernels.formulas.vec import norm, row_vector
from nbnumba.kernels.jit.cpu import STRICT, device

# columns of a trace's record; row 0 counts the terms and holds the rest of the pixel
COUNT = 0
LAYER, SUB_S, SUB_F, SOURCE, AIRPATH, DIFFRACTED, SCATTERING = 1, 2, 3, 4, 5, 6, 9
CAPTURE, POLAR, OMEGA = 12, 13, 14
ORIENTATION, H, LATT, F_CELL, TOTAL = 15, 16, 19, 20, 21
COLUMNS = 22


@device(fastmath=STRICT)
def F_cell(Fhkl, cell, h, k, l, interpolating):
    """Structure factor at (h, k, l), and whether later evaluations may still interpolate."""
    if interpolating:
        if in_range(cell, h, k, l):
            return tricubic(Fhkl, cell, h, k, l), 1
        interpolating = cell.fallback_each
    return nearest(Fhkl, cell, h, k, l), interpolating


@device(fastmath=STRICT)
def note_ray(record, layer, subS, subF, airpath, diffracted, capture, omega):
    """Write down where the next terms belong, for :func:`note_term`."""
    record[0, LAYER] = layer
    record[0, SUB_S] = subS
    record[0, SUB_F] = subF
    record[0, AIRPATH] = airpath
    for i in range(3):
        record[0, DIFFRACTED + i] = diffracted[i]
    record[0, CAPTURE] = capture
    record[0, OMEGA] = omega


@device(fastmath=STRICT)
def note_source(record, source, scattering):
    """The same of the source; its polarization comes later."""
    record[0, SOURCE] = source
    for i in range(3):
        record[0, SCATTERING + i] = scattering[i]


@device(fastmath=STRICT)
def note_term(record, orientation, h, k, l, latt, F, total):
    """Store one term in the next free row; terms beyond the last row are only counted."""
    record[0, COUNT] += 1.0
    row = int(record[0, COUNT])
    if row >= record.shape[0]:
        return
    for column in range(LAYER, ORIENTATION):
        record[row, column] = record[0, column]
    record[row, ORIENTATION] = orientation
    record[row, H] = h
    record[row, H + 1] = k
    record[row, H + 2] = l
    record[row, LATT] = latt
    record[row, F_CELL] = F
    record[row, TOTAL] = total


@device(fastmath=STRICT)
def add_orientations(
    total, weight, factor, scattering, crystal, cell, orientations, Fhkl, has_water, interpolating, record=None
):
    """Add the terms of all orientations to the running sum ``total``.

    Each term is F_cell^2 F_latt^2 times ``weight``; after each, the sum is multiplied by ``factor``. A term without
    lattice factor is passed over (factor included) unless there is water, as in nanoBragg.c.
    """
    for m in range(orientations.shape[0]):
        h, k, l = fractional_indices(cell_axes(orientations, m), scattering)
        latt = F_latt(crystal, h, k, l)
        if latt == 0.0 and not has_water:
            if record is not None:
                note_term(record, m, h, k, l, latt, nearest(Fhkl, cell, h, k, l), total)
            continue
        F, interpolating = F_cell(Fhkl, cell, h, k, l, interpolating)
        total += F * F * latt * latt * weight
        total *= factor
        if record is not None:
            note_term(record, m, h, k, l, latt, F, total)
    return total, interpolating


@device(fastmath=STRICT)
def add_source(
    total, held, i, diffracted, crystal, cell, beam, sources, orientations, Fhkl, interpolating, record=None
):
    """Add the terms of source ``i`` along one ray to the running sum ``total``.

    ``held``: capture fraction, polarization and solid angle. Returns the sum, the polarization held afterwards, and
    whether the run still interpolates.
    """
    capture, polar, omega = held
    scattering = scattering_vector(diffracted, row_vector(sources, i, 0), 1.0 / sources[i, 3])
    if record is not None:
        note_source(record, i, scattering)
    cut = is_cut_by_length(norm(scattering), beam.dmin)
    if beam.per_term or not cut:
        if takes_polarization(beam, polar):
            polar = source_polarization(beam, sources, i, 0, diffracted)
        weight, factor = weight_and_factor(beam, capture, polar, omega, sources[i, 4])
        if beam.per_term:
            total += beam.I_bg * weight
        if not cut:
            if record is not None:
                record[0, POLAR] = polar
            total, interpolating = add_orientations(
                total,
                weight,
                factor,
                scattering,
                crystal,
                cell,
                orientations,
                Fhkl,
                beam.has_water,
                interpolating,
                record,
            )
    return total, polar, interpolating


@device(fastmath=STRICT)
def table_of(orientations, record, first):
    """Orientations for the next source: ``first``, if given, as long as there was no term."""
    if first is None:
        return orientations
    return first if record[0, COUNT] == 0.0 else orientations


@device(fastmath=STRICT)
def pixel_value(s, f, panel, crystal, cell, beam, sources, orientations, Fhkl, interpolating, record=None, first=None):
    """Photons in pixel (s, f).

    Parameters
    ----------
    s, f : int
        Slow and fast index.
    panel, crystal, cell, beam : PanelBlock, CrystalBlock, CellBlock, BeamBlock
    sources : (S, 5) float64
        Incident unit vector, wavelength (m), relative weight.
    orientations : (M, 9) float64
        a, b, c (m) of every orientation, phi step by phi step, domains within.
    Fhkl : (h_range, k_range, l_range) float64
    interpolating : int
        Whether the run still interpolates when it comes to this pixel.
    record : None or (n + 1, COLUMNS) float64
        Record of the trace: one row for each of the first ``n`` terms, columns as named above; row 0 has the number of
        terms, and the corrections and the sum at the end. None has no cost: Numba compiles the branches for a record
        only if an array is given.
    first : None or (M, 9) float64
        With a record: orientations for the first source that has terms, in place of ``orientations``, from which the
        released program begins an image.

    Returns
    -------
    value : float
    interpolating : int
        The same after this pixel: 0 once an evaluation fell out of range.
    """
    total = 0.0 if beam.per_term else beam.I_bg
    polar = 1.0 if beam.nopolar else 0.0
    omega = 0.0
    capture = 1.0
    for layer in range(panel.layers):
        capture = 0.0 if panel.has_thickness else 1.0
        for subS in range(panel.oversample):
            for subF in range(panel.oversample):
                airpath, diffracted = subpixel_ray(panel, panel.curved, s, f, layer, subS, subF)
                if omega == 0.0 or beam.oversample_omega or beam.per_term:
                    omega = omega_pixel(panel, airpath)
                if panel.has_thickness and (capture == 0.0 or beam.oversample_thick or beam.per_term):
                    capture = capture_fraction(panel, layer, diffracted)
                if record is not None:
                    note_ray(record, layer, subS, subF, airpath, diffracted, capture, omega)
                for i in range(sources.shape[0]):
                    held = (capture, polar, omega)
                    table = table_of(orientations, record, first)
                    total, polar, interpolating = add_source(
                        total, held, i, diffracted, crystal, cell, beam, sources, table, Fhkl, interpolating, record
                    )
    if record is not None:
        record[0, CAPTURE], record[0, POLAR], record[0, OMEGA], record[0, TOTAL] = capture, polar, omega, total
    return photons(beam, total, capture, polar, omega), interpolating
