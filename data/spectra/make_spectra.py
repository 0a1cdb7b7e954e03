"""Writes the example spectra beside this file: ``python data/spectra/make_spectra.py``.

``pink.txt`` is the shape of an undulator's harmonic, sharp towards high energy with a long tail below it.
``sase.txt`` is one shot of a free-electron laser: random spikes under a Gaussian envelope, from the Fourier transform of
chaotic light within a Gaussian pulse; ``sase_mean.txt`` is the mean of many such shots. All are calculated; none is
measured.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
FWHM_TO_SIGMA = 1 / 2.3548200450309493


def pink(peak_eV: float = 12000.0, high_eV: float = 60.0, low_eV: float = 350.0) -> tuple[np.ndarray, np.ndarray]:
    """Energies (eV) and weights of a harmonic: half a Gaussian above its peak, an exponential tail below."""
    energies = np.arange(peak_eV - 1200, peak_eV + 201, 20.0)
    off = energies - peak_eV
    weights = np.where(off > 0, np.exp(-0.5 * (off / high_eV) ** 2), np.exp(np.minimum(off, 0) / low_eV))
    return energies, weights


def sase(
    seed: int, mean_eV: float = 9500.0, fwhm_eV: float = 30.0, spike_eV: float = 0.8
) -> tuple[np.ndarray, np.ndarray]:
    """Energies (eV) and weights of one shot.

    Chaotic light: each energy has a random complex amplitude; the finite length of the pulse correlates amplitudes over
    ``spike_eV`` (full width at half maximum of a spike).
    """
    step = 0.25
    energies = mean_eV + np.arange(-180, 181) * step
    random = np.random.default_rng(seed)
    noise = random.normal(size=(2, 2 * len(energies)))
    reach = np.arange(-16, 17) * step
    # a field's width is sqrt(2) times that of its intensity
    window = np.exp(-0.5 * (reach / (np.sqrt(2) * spike_eV * FWHM_TO_SIGMA)) ** 2)
    field = np.convolve(noise[0] + 1j * noise[1], window, "same")[: len(energies)]
    envelope = np.exp(-0.5 * ((energies - mean_eV) / (fwhm_eV * FWHM_TO_SIGMA)) ** 2)
    return energies, np.abs(field) ** 2 * envelope


def text(title: str, energies: np.ndarray, weights: np.ndarray) -> str:
    """Text of the file: energy (eV), weight (largest 1)."""
    rows = [f"{energy:.2f} {weight:.5f}" for energy, weight in zip(energies, weights / weights.max(), strict=True)]
    return "\n".join([f"# {title}", "# energy_eV weight", *rows, ""])


def make_files() -> dict[str, str]:
    """Name of each file -> its content."""
    energies, _ = sase(0)
    mean = np.mean([sase(seed)[1] for seed in range(400)], axis=0)
    return {
        "pink.txt": text("pink beam: one undulator harmonic, made by make_spectra.py", *pink()),
        "sase.txt": text("one SASE shot, made by make_spectra.py", *sase(7)),
        "sase_mean.txt": text("mean of 400 SASE shots, made by make_spectra.py", energies, mean),
    }


def main() -> None:
    """Write the files."""
    for name, content in make_files().items():
        (HERE / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
