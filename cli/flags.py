"""The rows of the table of flags, and the look-up of a word of the command line in it.

The reference finds a flag when its name occurs anywhere in the word, so ``-matrix`` and ``-mat`` mean the same to it.
Here a flag has one name, further spellings, and stems: beginnings after which any ending is accepted.

Nothing here imports NumPy, so that the help appears at once; the table therefore repeats the defaults as text, and a
test compares them with the dataclasses of ``nbnumba.model.config``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["switch", "int", "float", "ints", "vector", "path", "choice", "device", "cell", "misset", "depth"]


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One row of the table.

    Attributes
    ----------
    name : str
        The spelling shown in help and messages.
    kind : str
        Kind of values that follow; see ``nbnumba.cli.parse``.
    panel, help, default : str
        Panel and text of the help; ``default`` is text, empty where there is none.
    metavar, unit : str
        Name of the values in the help; their unit, for messages.
    dest : tuple of str
        Fields that get the (converted) value: ``part.field`` of the configuration; ``part.field[i]`` is one element.
    sets : tuple of (str, object)
        Further fields that the flag sets, each with its value; a switch sets only these.
    convert : callable or None
        Converts from the unit of the flag to that of the field.
    choices : tuple of str
        Allowed words of kind ``choice``.
    count : int
        Number of values of kind ``ints``.
    also, stems : tuple of str
        Further spellings; beginnings after which any ending is accepted.
    is_extension : bool
        Whether the reference lacks it: an extension has two dashes only.
    note : str
        Warning that is given when the flag is used.
    """

    name: str
    kind: Kind
    help: str
    panel: str = ""
    metavar: str = ""
    unit: str = ""
    default: str = ""
    dest: tuple[str, ...] = ()
    sets: tuple[tuple[str, Any], ...] = ()
    convert: Callable[[Any], Any] | None = None
    choices: tuple[str, ...] = ()
    count: int = 1
    also: tuple[str, ...] = ()
    stems: tuple[str, ...] = ()
    is_extension: bool = False
    note: str = ""

    @property
    def spellings(self) -> tuple[str, ...]:
        """All full spellings, the name first."""
        return (self.name, *self.also)

    @property
    def text(self) -> str:
        """Text of the help: the sentence, other spellings, the default."""
        parts = [self.help]
        if self.also and not self.is_extension:
            parts.append(f"Also {', '.join(self.also)}.")
        if self.default:
            parts.append(f"Default: {self.default}.")
        return " ".join(parts)


# Constructors of rows. ``dest``, ``also`` and ``stems`` are words in one string; a name with two dashes is an
# extension.


def flag(name: str, kind: Kind, dest: str, help: str, *, also: str = "", stems: str = "", **more: Any) -> Flag:
    """A row of any kind."""
    return Flag(
        name=name,
        kind=kind,
        help=help,
        dest=tuple(dest.split()),
        also=tuple(also.split()),
        stems=tuple(stems.split()),
        is_extension=name.startswith("--"),
        **more,
    )


def number(name: str, dest: str, unit: str, help: str, *, metavar: str = "", **more: Any) -> Flag:
    """A flag with one real number."""
    return flag(
        name,
        "float",
        dest,
        help,
        unit=unit,
        metavar=metavar or unit.upper().replace("Å", "A").replace("Μ", "U") or "X",
        **more,
    )


def count(name: str, dest: str, help: str, **more: Any) -> Flag:
    """A flag with one whole number."""
    return flag(name, "int", dest, help, metavar="N", **more)


def file(name: str, dest: str, help: str, **more: Any) -> Flag:
    """A flag with the name of a file."""
    return flag(name, "path", dest, help, metavar="FILE", **more)


def switch(name: str, help: str, *sets: tuple[str, Any], **more: Any) -> Flag:
    """A flag without a value."""
    return flag(name, "switch", "", help, sets=sets, **more)


def axis(name: str, dest: str, help: str, *sets: tuple[str, Any], **more: Any) -> Flag:
    """A flag with a vector, which selects the convention CUSTOM."""
    return flag(name, "vector", dest, help, metavar="X Y Z", sets=(("detector.convention", "CUSTOM"), *sets), **more)


def panel(title: str, *rows: Flag) -> tuple[Flag, ...]:
    """The rows, all in the help panel ``title``."""
    return tuple(replace(row, panel=title) for row in rows)


class Table:
    """Look-up of flags by any of their spellings.

    Raises
    ------
    ValueError
        Two flags share a spelling or a stem (a mistake in the table).
    """

    def __init__(self, flags: tuple[Flag, ...]) -> None:
        self.flags = flags
        self._exact: dict[str, Flag] = {}
        stems: dict[str, Flag] = {}
        for flag in flags:
            for word, known in [(s, self._exact) for s in flag.spellings] + [(s, stems) for s in flag.stems]:
                if known.setdefault(word, flag) is not flag:
                    raise ValueError(f"{word} is in the table twice")
        # the longest stem decides: -sample_thick before -sample
        self._stems = sorted(stems.items(), key=lambda item: -len(item[0]))

    def find(self, word: str) -> Flag | None:
        """The flag that ``word`` names, in any spelling, with one dash or two; None if there is none.

        Beginnings count with one dash only, as in nanoBragg: ``-mat...`` names ``-mat``, and ``--material`` nothing.
        """
        if word in self._exact:
            return self._exact[word]
        single = word[1:] if word.startswith("--") else word
        flag = self._exact.get(single)
        if flag is None and single is word:
            flag = next((f for stem, f in self._stems if single.startswith(stem)), None)
        return None if flag is None or flag.is_extension else flag

    def suggest(self, word: str) -> str | None:
        """The known spelling nearest to ``word``; None if none is near.

        A spelling that begins with ``word`` is preferred to one that only resembles it: ``-hdivr`` gives ``-hdivrange``.
        """
        bare = word.lstrip("-").lower()
        known: dict[str, str] = {}
        for spelling in self._exact:
            known.setdefault(spelling.lstrip("-").lower(), spelling)
        if bare in known:
            return known[bare]
        longer = [key for key in known if len(bare) > 2 and key.startswith(bare)]
        near = longer or difflib.get_close_matches(bare, known, n=1)
        return known[near[0]] if near else None
