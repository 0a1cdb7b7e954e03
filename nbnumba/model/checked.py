"""Base class of dataclasses that check and convert their fields when they are created."""

from __future__ import annotations

import math
import re
from dataclasses import fields

from nbnumba.errors import ConfigError
from nbnumba.model.field_types import fitted, hints_of, shown


def name_of(owner: object, key: str) -> str:
    """Name of a field in messages: ``beam.fluence``, ``structure_factors.default_F``."""
    part = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(owner).__name__).lower()
    return f"{part}.{key}"


def check(owner: object, key: str, allowed: str, good: bool) -> None:
    """Refuse the value of a field unless it is ``good``.

    Raises
    ------
    ConfigError
        The value is refused; the message names the field, the value and what is ``allowed``.
    """
    if not good:
        raise ConfigError(f"{name_of(owner, key)} must be {allowed}, got {shown(getattr(owner, key))}")


class Checked:
    """Convert every field to its declared type; refuse other values, NaN and infinity. Subclasses extend ``_validate``.

    Raises
    ------
    ConfigError
        A field has a value of another type, or one that is not allowed; the message names the field and the value.
    """

    def __post_init__(self) -> None:
        hints = hints_of(type(self))  # type: ignore[arg-type]
        for entry in fields(self):  # type: ignore[arg-type]
            given = getattr(self, entry.name)
            value = fitted(name_of(self, entry.name), hints[entry.name], given)
            if value is not given:
                object.__setattr__(self, entry.name, value)
            numbers = value if isinstance(value, tuple) else (value,)
            for number in numbers:
                if isinstance(number, float) and not math.isfinite(number):
                    raise ConfigError(f"{name_of(self, entry.name)} must be a finite number, got {value}")
        self._validate()

    def _validate(self) -> None:
        pass

    def _positive(self, *keys: str) -> None:
        for key in keys:
            value = getattr(self, key)
            check(self, key, "> 0", value is None or value > 0)

    def _not_negative(self, *keys: str) -> None:
        for key in keys:
            value = getattr(self, key)
            check(self, key, ">= 0", value is None or value >= 0)

    def _not_zero_vectors(self, *keys: str) -> None:
        for key in keys:
            value = getattr(self, key)
            check(self, key, "a vector of non-zero length", value is None or any(v != 0 for v in value))
            # squares of components must neither vanish nor overflow
            check(self, key, "1e-100 to 1e100 long", value is None or 1e-100 <= math.hypot(*value) <= 1e100)
