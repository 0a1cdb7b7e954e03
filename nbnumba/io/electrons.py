"""Wavelength of electrons and the voltage that accelerates them, relativistic."""

from __future__ import annotations

import math

#: Rest energy of the electron (eV), and h / sqrt(2 m e) (Å sqrt(V)).
_REST_EV, _ELECTRON_A = 510998.95, 12.2642594


def wavelength_of(volts: float) -> float:
    """Wavelength (Å) of electrons."""
    return _ELECTRON_A / math.sqrt(volts * (1 + volts / (2 * _REST_EV)))


def voltage_of(wavelength_A: float) -> float:
    """Accelerating voltage (V)."""
    return _REST_EV * (math.sqrt(1 + 2 * (_ELECTRON_A / wavelength_A) ** 2 / _REST_EV) - 1)
