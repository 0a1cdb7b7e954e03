"""All kinds of faults, in the order of the table."""

from __future__ import annotations

from tests.campaigns.faults import disks, signals, surroundings, words
from tests.campaigns.faults.registry import KINDS, Kind

__all__ = ["KINDS", "Kind", "disks", "signals", "surroundings", "words"]
