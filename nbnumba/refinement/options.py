"""How a refinement is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nbnumba.model.checked import Checked, check

Likelihood = Literal["auto", "gaussian", "poisson"]
BackgroundUse = Literal["refined", "kept", "none"]
#: Name of all structure factors among the parameters.
AMPLITUDES = "F"


@dataclass(frozen=True, kw_only=True)
class RefineOptions(Checked):
    """What is refined, in which order, and what is known of the images.

    Attributes
    ----------
    parameters : tuple of str
        Names of docs/derivatives.md, or groups of them (docs/refine.md): misset, cell, N, spread, distance, spectrum,
        tilt, panels, F.
    stages : tuple of tuple of str
        Parameters of each stage; empty: all at once.
    restraints : tuple of (str, float)
        Parameters or groups, and the standard deviation of the start's value, in their units.
    likelihood : str
        ``gaussian``: photons and readout noise; ``poisson``: photons, exactly; ``auto``: poisson where there is no
        readout noise.
    background : str
        A plane of background beside each spot: ``refined`` with all else, ``kept`` as it is found at first, or ``none``.
    gain, offset, readout : float
        Counts per photon, counts without photons, and standard deviation of the readout noise in counts.
    saturation : float or None
        Counts from which on a pixel is not used; None: those at the end of the range of its file.
    reach_deg : float
        Shoeboxes are so wide that spots stay within them as the crystal turns by this much.
    rim_px : int
        Width of the frame of background around the pixels of a spot.
    least_share : float
        Pixels belong to a spot where it is this share of a strong spot's pixel, or more.
    search_deg : float
        Look for the orientation within this angle first; 0: begin where the start is.
    reject : float
        Pixels that are off by more standard deviations in the end are left out; 0: none.
    iterations : int
        Most of them in a stage.
    cell_system : str or None
        Crystal system; None: the one that the cell has.
    symmetry : str or None
        Space group: structure factors of equivalent reflections are refined as one, and Friedel mates always are. None: that
        of the list of structure factors, or P1.
    """

    parameters: tuple[str, ...] = ("misset", "cell", "N", "scale")
    stages: tuple[tuple[str, ...], ...] = ()
    restraints: tuple[tuple[str, float], ...] = ()
    likelihood: Likelihood = "auto"
    background: BackgroundUse = "refined"
    gain: float = 1.0
    offset: float = 0.0
    readout: float = 0.0
    saturation: float | None = None
    reach_deg: float = 0.2
    rim_px: int = 2
    least_share: float = 0.1
    search_deg: float = 0.0
    reject: float = 6.0
    iterations: int = 50
    cell_system: str | None = None
    symmetry: str | None = None

    def _validate(self) -> None:
        self._positive("gain", "saturation", "least_share", "iterations")
        self._not_negative("readout", "reach_deg", "rim_px", "search_deg", "reject")
        check(self, "least_share", "below 1", self.least_share < 1)
        check(self, "search_deg", "at most 10", self.search_deg <= 10)
        check(self, "parameters", "one name at least", len(self.parameters) > 0)
        good = all(sigma > 0 for _, sigma in self.restraints)
        check(self, "restraints", "standard deviations > 0", good)

    @property
    def counts_photons(self) -> bool:
        """Whether the likelihood is that of Poisson's distribution."""
        return self.likelihood == "poisson" or (self.likelihood == "auto" and self.readout == 0)

    @property
    def amplitudes(self) -> bool:
        """Whether structure factors are refined."""
        return AMPLITUDES in self.parameters


def split_names(text: str) -> tuple[str, ...]:
    """Names with commas or spaces between them; commas in square brackets belong to a name."""
    import re

    return tuple(name for name in re.split(r"[,\s]+(?![^\[]*\])", text) if name)


def split_stages(text: str) -> tuple[tuple[str, ...], ...]:
    """Stages with semicolons between them."""
    return tuple(names for part in text.split(";") if (names := split_names(part)))
