"""From the words of a command line to values of fields of the configuration, in the order of the line."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbnumba.cli.flag_table import TABLE
from nbnumba.cli.flags import Flag
from nbnumba.cli.presets import PRESETS
from nbnumba.cli.usage import stray_word, unknown_flag
from nbnumba.errors import NbnumbaError, UsageError
from nbnumba.io.files import read_text

_UNITS = {"deg": "degrees"}


@dataclass(frozen=True)
class Invocation:
    """A parsed command line.

    Attributes
    ----------
    argv : tuple of str
        The words as given.
    values : dict
        ``part.field`` to value, in the units of the configuration; of several flags that set a field the last counts.
        ``detector.pivot`` and ``detector.convention`` are such fields, and many flags set them.
    spelled : dict
        ``part.field`` to the word that set it, for messages.
    warnings : tuple of str
        Sentences for the user.
    """

    argv: tuple[str, ...]
    values: dict[str, Any] = field(default_factory=dict)
    spelled: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def pivot(self) -> str | None:
        """BEAM or SAMPLE, by the last flag that sets the pivot; None if none does."""
        return self.values.get("detector.pivot")

    @property
    def convention(self) -> str | None:
        """Convention by the last flag that sets it; None if none does."""
        return self.values.get("detector.convention")


def parse(argv: Sequence[str], command_options: Sequence[Flag] = ()) -> Invocation:
    """Parse the words of ``nbnumba run``.

    Parameters
    ----------
    argv : sequence of str
        The words after ``run``.
    command_options : sequence of Flag
        Options that the command has besides the flags of a run, for suggestions; they are no longer among the words.

    Raises
    ------
    UsageError
        An unknown flag, a word that belongs to no flag, a missing or unreadable value. Unknown flags and stray words
        become warnings with ``--lenient``, wherever that stands.
    """
    words = _Words(argv)
    lenient = "--lenient" in argv
    values: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    warnings: list[str] = []
    before: tuple[str, Flag, int] | None = None
    while words.left:
        flag, word = _find(words, words.take())
        if flag is None:
            message = unknown_flag(word, command_options) if is_flag(word) else stray_word(word, before)
            if not lenient:
                raise UsageError(message)
            warnings.append(f"{message}; left out with all that follows it: {_skip(words) or 'nothing'}")
            continue
        if flag.note:
            warnings.append(f"{word} {flag.note}")
        left = words.left
        value = _READERS[flag.kind](words, flag, word)
        before = word, flag, left - words.left
        if flag.convert is not None:
            try:
                value = flag.convert(value)
            except ValueError as error:
                raise UsageError(f"{word} {error}, got {value:g}") from None
        for dest, what in [*((dest, value) for dest in flag.dest), *flag.sets]:
            values[dest] = what
            spelled[dest] = word
    return Invocation(tuple(argv), values, spelled, tuple(dict.fromkeys(warnings)))


def with_files(words: Sequence[str]) -> list[str]:
    """The words, ``@FILE`` replaced by the words in the file, and ``--config NAME`` by those of a preset.

    A file is read as by a shell: ``#`` begins a comment. Names of files in it are as given, not relative to it.

    Raises
    ------
    UsageError
        A file cannot be read, or a quotation in it has no end; there is no such preset.
    """
    left, found = list(words), list[str]()
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if word.startswith("@"):
            try:
                found += shlex.split(read_text(Path(word[1:]), "file of flags"), comments=True)
            except (NbnumbaError, ValueError) as error:
                raise UsageError(f"{word}: {error}; @FILE stands for the flags in a file") from None
        elif name == "--config":
            preset = value if equals else "".join(left[:1])
            del left[: not equals]
            if preset not in PRESETS:
                raise UsageError(
                    f"--config needs the name of a preset ({', '.join(PRESETS)}), got {preset or 'nothing'!r}"
                )
            found += PRESETS[preset].split()
        else:
            found.append(word)
    return found


def take_options(argv: Sequence[str], options: Sequence[Flag]) -> tuple[dict[str, str], list[str]]:
    """Take the options of a command, switches and such with one value, out of a command line.

    Returns
    -------
    given : dict
        Name of each option that is given to its value, the last one; of switches to ``yes``.
    rest : list of str
        The other words.

    Raises
    ------
    UsageError
        A value is missing, or is none of those that there are.
    """
    choices = {row.name: row.choices for row in options if row.kind == "choice"}
    switches = {row.name for row in options if row.kind == "switch"}
    valued = {row.name for row in options} - switches
    words, given, rest = list(argv), dict[str, str](), list[str]()
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name in valued:
            if not equals and not words:
                raise UsageError(f"{name} needs a value, but the command line ends there")
            given[name] = value if equals else words.pop(0)
            if name in choices and given[name] not in choices[name]:
                one, *others = choices[name]
                wanted = (
                    f"needs {one} or {others[0]}" if len(others) == 1 else f"must be one of {', '.join(choices[name])}"
                )
                raise UsageError(f"{name} {wanted}, got {given[name]!r}")
        elif word in switches:
            given[word] = "yes"
        else:
            rest.append(word)
    return given, rest


def positive(name: str, text: str) -> int:
    """Value of an option that is a whole number above 0.

    Raises
    ------
    UsageError
        It is none.
    """
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"{name} needs a whole number above 0, got {text!r}")
    return int(text)


def not_negative(name: str, text: str, wanted: str = "number") -> float:
    """Value of an option that is a number, 0 or more; ``wanted``: the number in words.

    Raises
    ------
    UsageError
        It is none.
    """
    value = _number(text)
    if value is None or not 0 <= value < math.inf:
        raise UsageError(f"{name} needs a {wanted}, 0 or more, got {text!r}")
    return value


def is_flag(word: str) -> bool:
    """Whether ``word`` can only be a flag: it begins with a dash and is no number."""
    return word.startswith("-") and _number(word) is None


class _Words:
    """The command line, word by word."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)

    @property
    def left(self) -> int:
        return len(self._argv)

    def peek(self) -> str | None:
        return self._argv[0] if self._argv else None

    def take(self) -> str:
        return self._argv.pop(0)

    def put(self, word: str) -> None:
        self._argv.insert(0, word)

    def value(self, word: str, wanted: str) -> str:
        """The next word, as a value of the flag ``word``."""
        if not self._argv:
            raise UsageError(f"{word} needs {wanted}, but the command line ends there")
        if is_flag(self._argv[0]):
            raise UsageError(f"{word} needs {wanted}, got the flag {self._argv[0]}")
        return self._argv.pop(0)


def _find(words: _Words, word: str) -> tuple[Flag | None, str]:
    """The flag that ``word`` names, and its name; of ``flag=value`` the value is put back into the words."""
    if not word.startswith("-"):
        return None, word
    name, equals, value = word.partition("=")
    flag = TABLE.find(name)
    if flag is not None and equals:
        if flag.kind == "switch":
            raise UsageError(f"{name} takes no value, got {value!r}")
        words.put(value)
    return (flag, word) if flag is None else (flag, name)


def _skip(words: _Words) -> str:
    skipped = []
    while (word := words.peek()) is not None and not is_flag(word):
        skipped.append(words.take())
    return " ".join(skipped)


def _number(text: str) -> float | None:
    """``text`` as a number, also NaN; None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def _wanted(flag: Flag, what: str = "a number") -> str:
    return f"{what} in {_UNITS.get(flag.unit, flag.unit)}" if flag.unit else what


def _float(words: _Words, flag: Flag, word: str, wanted: str = "") -> float:
    wanted = wanted or _wanted(flag)
    text = words.value(word, wanted)
    number = _number(text)
    if number is None or math.isnan(number):
        raise UsageError(f"{word} needs {wanted}, got {text!r}")
    return number


def _int(words: _Words, flag: Flag, word: str, wanted: str = "a whole number") -> int:
    text = words.value(word, wanted)
    number = _number(text)
    if number is None or not math.isfinite(number) or number != int(number):
        raise UsageError(f"{word} needs {wanted}, got {text!r}")
    try:
        return int(text)  # exact also beyond 2**53
    except ValueError:
        return int(number)


def _ints(words: _Words, flag: Flag, word: str) -> tuple[int, ...]:
    wanted = f"{flag.count} whole numbers ({flag.metavar})"
    return tuple(_int(words, flag, word, wanted) for _ in range(flag.count))


def _vector(words: _Words, flag: Flag, word: str) -> tuple[float, ...]:
    wanted = _wanted(flag, "three numbers (x y z)")
    return tuple(_float(words, flag, word, wanted) for _ in range(3))


def _cell(words: _Words, flag: Flag, word: str) -> tuple[float, ...]:
    wanted = _wanted(flag, "one to six numbers (a b c alpha beta gamma)")
    numbers = [_float(words, flag, word, wanted)]
    while len(numbers) < 6 and (following := words.peek()) is not None and not is_flag(following):
        numbers.append(_float(words, flag, word, wanted))
    return tuple(numbers)


def _misset(words: _Words, flag: Flag, word: str) -> tuple[float, ...] | str:
    following = words.peek()
    if following is not None and following.startswith("rand"):
        words.take()
        return "random"
    wanted = _wanted(flag, "three numbers (x y z)") + " or 'random'"
    return tuple(_float(words, flag, word, wanted) for _ in range(3))


def _depth(words: _Words, flag: Flag, word: str) -> float:
    """A depth; zero means infinite, as in the reference."""
    return _float(words, flag, word, _wanted(flag) + " or 'inf'") or math.inf


def _path(words: _Words, flag: Flag, word: str) -> str:
    name = words.value(word, "the name of a file")
    if not name:
        raise UsageError(f"{word} needs the name of a file, got an empty word")
    return name


def _choice(words: _Words, flag: Flag, word: str) -> str:
    wanted = " or ".join(flag.choices)
    text = words.value(word, wanted)
    if text not in flag.choices:
        raise UsageError(f"{word} needs {wanted}, got {text!r}")
    return text


def _device(words: _Words, flag: Flag, word: str) -> str:
    wanted = "auto, cpu, cuda, cuda:N or cuda:all"
    text = words.value(word, wanted)
    if not re.fullmatch(r"auto|cpu|cuda(:\d+(,\d+)*|:all)?", text):
        raise UsageError(f"{word} needs {wanted}, got {text!r}")
    return text


_READERS: dict[str, Callable[[_Words, Flag, str], Any]] = {
    "switch": lambda words, flag, word: None,
    "int": _int,
    "float": _float,
    "ints": _ints,
    "vector": _vector,
    "path": _path,
    "choice": _choice,
    "device": _device,
    "cell": _cell,
    "misset": _misset,
    "depth": _depth,
}
