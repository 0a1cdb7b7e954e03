"""Random numbers for experiments, from a generator or from a hypothesis strategy alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

T = TypeVar("T")


class Source(Protocol):
    """Where the numbers come from."""

    def real(self, low: float, high: float) -> float:
        """A number between the limits, any of them equally likely."""

    def whole(self, low: int, high: int) -> int:
        """A whole number between the limits, both included."""


class Dice:
    """What experiments are drawn with."""

    def __init__(self, source: Source) -> None:
        self.real, self.whole = source.real, source.whole

    def chance(self, share: float) -> bool:
        """True in this share of the draws; False where the source is drawn towards 0."""
        return self.real(0.0, 1.0) > 1.0 - share

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.whole(0, len(options) - 1)]

    def spread(self, low: float, high: float) -> float:
        """A number between positive limits whose logarithm is evenly spread."""
        return min(max(math.exp(self.real(math.log(low), math.log(high))), low), high)

    def count(self, low: int, high: int) -> int:
        """A whole number whose logarithm is evenly spread."""
        return min(int(self.spread(low, high + 1)), high)

    def direction(self) -> tuple[float, float, float]:
        """A direction, not of length 1."""
        x, y, z = (self.real(-1.0, 1.0) for _ in range(3))
        return (x, y, z) if x * x + y * y + z * z > 0.05 else (1.0, 0.5, 0.25)


class Generator:
    """Numbers of NumPy."""

    def __init__(self, *seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def real(self, low: float, high: float) -> float:
        """See :class:`Source`."""
        return float(self.rng.uniform(low, high))

    def whole(self, low: int, high: int) -> int:
        """See :class:`Source`."""
        return int(self.rng.integers(low, high + 1))
