"""Experiments whose images have no derivatives."""

from __future__ import annotations

from collections.abc import Sequence

from nbnumba.derive.parameter import Parameter
from nbnumba.derive.setting import Setting
from nbnumba.errors import ConfigError
from nbnumba.kernels.formulas.blocks import TOPHAT


def refuse_impossible(at: Setting, parameters: Sequence[Parameter]) -> None:
    """Refuse experiments whose images have no derivatives, or none that is worth having.

    Raises
    ------
    ConfigError
        The sentence names the flag or the parameters, and what to do.
    """
    beam = at.first.beam
    for flag, on in (
        ("thick", beam.oversample_thick),
        ("polar", beam.oversample_polar),
        ("omega", beam.oversample_omega),
    ):
        if on:
            raise ConfigError(
                f"there are no derivatives with -oversample_{flag}, which multiplies the running sum: leave it out, or take "
                "correct physics"
            )
    if len(at.first.first_cells):
        raise ConfigError("there are no derivatives of a rotation with --physics released: take reference or correct")
    edges = [p.name for p in parameters if not p.smooth]
    if at.first.crystal.shape == TOPHAT and edges:
        raise ConfigError(
            f"spots of tophat crystals have edges: the image has no derivative with respect to {', '.join(edges)}; take gauss"
        )
