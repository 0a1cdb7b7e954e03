"""So many faults, of all kinds in their shares, in an order that the seed decides."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.campaigns.faults.kinds import KINDS, Kind
from tests.campaigns.faults.lab import Lab
from tests.campaigns.faults.verdict import Trial, judge


def plan(count: int, seed: int, *, quick: bool = False, only: str | None = None) -> list[Kind]:
    """Kinds of the faults; each at least once where there is room."""
    kinds = [kind for kind in KINDS if (kind.quick or not quick) and only in (None, kind.name)]
    total = sum(kind.share for kind in kinds)
    chosen = [kind for kind in kinds for _ in range(max(1, round(count * kind.share / total)))]
    rng = Random(seed)
    rng.shuffle(chosen)
    while len(chosen) < count:
        chosen.append(rng.choice(kinds))
    return chosen[:count]


def campaign(lab: Lab, count: int, seed: int, *, quick: bool = False, only: str | None = None) -> Iterator[Trial]:
    """Inject the faults of :func:`plan`, one after the other, and judge each."""
    for number, kind in enumerate(plan(count, seed, quick=quick, only=only)):
        yield judge(kind.inject(lab, Random(f"{seed} {number}")))
        lab.sweep()
