"""The log of a run on stderr: the facts that the reference prints, one line for each subject."""

from __future__ import annotations

import logging
import string
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nbnumba.cli.parse import Invocation
from nbnumba.errors import one_line

log = logging.getLogger("nbnumba")

# label, text; a value is followed by the unit it is shown in. A line whose facts are missing or empty is left out.
_LINES = (
    ("physics", "{physics}"),
    (
        "detector",
        "{fpixels} x {spixels} pixels (fast x slow) of {pixel_m:mm}, {detsize_fast_m:mm} x {detsize_slow_m:mm}",
    ),
    ("convention", "{convention}; the detector turns about the {pivot}"),
    ("distance", "{distance_m:mm} along the beam, {close_distance_m:mm} to the nearest point"),
    ("beam centre", "X {Xbeam_m:mm}, Y {Ybeam_m:mm}; on the detector: fast {Fbeam_m:mm}, slow {Sbeam_m:mm}"),
    ("nearest point", "X {Xclose_m:mm}, Y {Yclose_m:mm}; on the detector: fast {Fclose_m:mm}, slow {Sclose_m:mm}"),
    ("XDS", "ORGX {XDS_ORGX}, ORGY {XDS_ORGY}; incident beam {xds_incident_beam}"),
    ("DIALS origin", "{dials_origin_mm} mm"),
    ("first pixel", "{pix0_m:mm}"),
    ("axes", "fast {fdet_vector}, slow {sdet_vector}, outwards {odet_vector}"),
    ("directions", "beam {beam_vector}, spindle {spindle_vector}, polarization normal {polarization_plane_normal}"),
    ("cell", "{unit_cell} (Å, degrees); volume {volume_A3} Å³"),
    ("reciprocal cell", "{recip_cell} (1/Å, degrees)"),
    ("a, b, c", "{a_vector_A}, {b_vector_A}, {c_vector_A} Å"),
    ("a*, b*, c*", "{a_star_vector}, {b_star_vector}, {c_star_vector} 1/Å"),
    ("misset", "{misset_deg} degrees"),
    ("crystal", "{N:x} cells, {xtal_shape}"),
    ("scan", "{phisteps} steps, phi from {phi_start_deg} to {phi_end_deg} degrees"),
    ("sources", "{sources} in all, {dispsteps} wavelengths over {dispersion_percent} % around {lambda0_m:A}"),
    ("divergence", "{hdivrange_rad:mrad} horizontal, {vdivrange_rad:mrad} vertical, {divsteps} points"),
    ("beam", "{fluence} photons/m²; polarization {polarization}"),
    ("F", "{hkls} reflections, {default_F} elsewhere; interpolation {interpolate}"),
    ("sampling", "{oversample} x {oversample} sub-pixels; {steps} steps in the sum of a pixel"),
    ("region", "{roi} (xmin xmax ymin ymax)"),
)
_OPTIONAL = (  # only where the fact is not zero
    ("odd_rules", "odd rules", "{odd_rules}, each with a warning"),
    ("mosaic_spread_deg", "mosaic", "{mosaic_domains} orientations over {mosaic_spread_deg} degrees"),
    (
        "detector_thick_m",
        "sensor",
        "{detector_thick_m:um} in {detector_thicksteps} layers, attenuation {detector_mu} 1/m",
    ),
    ("water_um", "water", "{water_um} µm"),
    ("dmin_A", "resolution", "limit {dmin_A} Å"),
    ("nopolar", "polarization", "no correction"),
    ("point_pixel", "solid angle", "no correction"),
    ("curved_detector", "detector shape", "curved: all pixels at one distance"),
)
_RESULT = (
    ("maximum", "{max} photons at fast {max_I_fast_m:mm}, slow {max_I_slow_m:mm}"),
    ("statistics", "mean {mean}, rms {rms}, rmsd {rmsd}, sum {sum}"),
)
_NOISE = (("noise", "{photons} photons, {overloads} overloaded pixels; seed {seed}, generator {rng}"),)
_SCALES = {"mm": (1e3, " mm"), "um": (1e6, " µm"), "A": (1e10, " Å"), "mrad": (1e3, " mrad")}


def set_up_log(quiet: bool) -> None:
    """Send the log to stderr as plain lines; warnings and errors only if ``quiet``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter())
    log.handlers[:] = [handler]
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.propagate = False
    logging.raiseExceptions = False  # do not print errors of a closed stderr to it


def begin(invocation: Invocation) -> None:
    """Set up the log for a command line, and log the warnings of its parsing."""
    set_up_log(bool(invocation.values.get("run.quiet")))
    warn(invocation.warnings)


def experiment_lines(facts: Mapping[str, Any]) -> list[str]:
    """The facts of an experiment (``Experiment.facts()``) as lines of text."""
    # the facts hold the word that the reference prints
    shape = {"parallelpiped": "parallelepiped"}.get(facts.get("xtal_shape", ""))
    facts = {**facts, "xtal_shape": shape} if shape else facts
    lines = _lines(_LINES, facts)
    for key, label, text in _OPTIONAL:
        if facts.get(key):
            lines += _lines(((label, text),), facts)
    return lines


def result_lines(facts: Mapping[str, Any]) -> list[str]:
    """The facts that rendering added (``Result.facts()``) as lines of text."""
    return _lines(_RESULT, facts)


def noise_lines(facts: Mapping[str, Any]) -> list[str]:
    """Facts of the noise as lines of text: photons, overloads, seed, generator."""
    return _lines(_NOISE, facts)


def say(lines: Iterable[str]) -> None:
    """Log the lines as information."""
    for line in lines:
        log.info(line)


def warn(messages: Iterable[str]) -> None:
    """Log the messages as warnings."""
    for message in messages:
        log.warning(message)


def file_lines(files: Iterable[Path]) -> list[str]:
    """One line that names the files written."""
    names = ", ".join(map(str, files))
    return [_line("wrote", names)] if names else []


def plain_line(label: str, text: str) -> str:
    """A line in the layout of the others."""
    return _line(label, text)


def _line(label: str, text: str) -> str:
    return f"{label + ':':17}{text}"


def _lines(rows: Iterable[tuple[str, str]], facts: Mapping[str, Any]) -> list[str]:
    formatter = _FactFormatter()
    lines = []
    for label, text in rows:
        names = [name for _, name, _, _ in string.Formatter().parse(text) if name]
        if all(facts.get(name) is not None for name in names):
            lines.append(_line(label, formatter.vformat(text, (), facts)))
    return lines


class _FactFormatter(string.Formatter):
    """Six digits, vectors in parentheses, units after the colon."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec == "x":
            return " x ".join(f"{v:g}" for v in value)
        scale, unit = _SCALES.get(format_spec, (None, ""))
        return self._text(value, scale) + unit

    def _text(self, value: Any, scale: float | None) -> str:
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, (list, tuple)):
            return "(" + " ".join(self._text(v, scale) for v in value) + ")"
        if isinstance(value, float):
            return f"{value if scale is None else value * scale:.6g}"
        return str(value if scale is None else value * scale)


class _LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = one_line(record.getMessage())
        return text if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {text}"
