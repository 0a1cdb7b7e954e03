"""Values of the configuration by field, each with the flag or file that it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nbnumba.errors import ConfigError

Part = TypeVar("Part")


@dataclass
class Values:
    """Values by field (``part.field``), each with the flag or file that it came from."""

    known: dict[str, Any] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)
    #: Distance and nearest distance (mm) in the header of an image.
    distances: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    #: Keywords that the header of an image lacks, and the header.
    missing: list[tuple[str, str]] = field(default_factory=list)

    def put(self, dest: str, value: Any, source: str) -> None:
        """Set a field, or one element of it: ``part.field[i]``."""
        element = re.fullmatch(r"(.*)\[(\d)\]", dest)
        if element:
            dest = element[1]
            whole = list(self.known.get(dest, (0.0, 0.0, 0.0)))
            whole[int(element[2])] = value
            value = tuple(whole)
        self.known[dest] = value
        self.source[dest] = source

    def get(self, dest: str) -> Any:
        """Value of a field; None where it is not set."""
        return self.known.get(dest)

    def drop(self, dest: str) -> Any:
        """Forget a field; returns its value."""
        return self.known.pop(dest, None)

    def part(self, name: str) -> dict[str, Any]:
        """Values of the fields of one part, by their names in it."""
        prefix = name + "."
        return {dest.removeprefix(prefix): v for dest, v in self.known.items() if dest.startswith(prefix)}

    def make(self, cls: type[Part], name: str) -> Part:
        """Dataclass of a part.

        Raises
        ------
        ConfigError
            A value is refused; the message ends with its flag or file.
        """
        try:
            return cls(**self.part(name))
        except ConfigError as error:
            raise self.explained(error) from None

    def explained(self, error: ConfigError) -> ConfigError:
        """The error, with the flag or file of the refused value."""
        return explained(error, self.source)


def explained(error: ConfigError, sources: Mapping[str, str]) -> ConfigError:
    """The error, with the flag or file of the refused value appended if the message names its field."""
    named = re.match(r"(\w+\.\w+)", str(error))
    source = sources.get(named[1]) if named else None
    return type(error)(f"{error} (from {source})") if source else error
