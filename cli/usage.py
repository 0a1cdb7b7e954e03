"""Messages about words that a command does not accept, with a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from nbnumba.cli.flag_table import TABLE
from nbnumba.cli.flags import Flag

_COUNTS = {0: "no value", 1: "one value"}
#: Commands of other programs -> option of this one.
_OPTIONS = {"help": "--help", "version": "--version"}
#: Words of other programs, and of people, whose nearest spelling is another flag -> what is meant.
_MEANT = _OPTIONS | {
    "h": "--help",
    "header": "-img",
    "thickness": "-detector_thick",
    "thick": "-detector_thick",
    "material": "-stol",
}


def unknown_flag(word: str, command_options: Sequence[Flag] = ()) -> str:
    """Message about an unknown flag; ``command_options``: those of the command besides the flags of ``nbnumba run``."""
    name = word.partition("=")[0]
    shown = word if word.isprintable() else repr(word)
    near = _MEANT.get(name.lstrip("-"))
    if near is None:
        near = _nearest(name, command_options) or (None if command_options else _of_series(name)) or TABLE.suggest(name)
    return f"unknown option {shown}" + (f"; did you mean {near}?" if near else "")


def _nearest(name: str, options: Sequence[Flag]) -> str | None:
    """The option that begins with a word, or resembles it."""
    bare = name.lstrip("-").lower()
    known = {row.name.lstrip("-"): row.name for row in options}
    begun = [key for key in known if len(bare) > 2 and key.startswith(bare)]
    near = begun or difflib.get_close_matches(bare, known, n=1, cutoff=0.8)
    return known[near[0]] if near else None


def _of_series(name: str) -> str | None:
    """The option of ``nbnumba series`` whose name a word is, whatever its dashes."""
    from nbnumba.cli.series_flags import SERIES_OPTIONS  # imports the parser, which imports this module

    found = next((row.name for row in SERIES_OPTIONS if row.name.lstrip("-") == name.lstrip("-")), None)
    return None if found is None else f"{found} of 'nbnumba series'"


def stray_word(word: str, before: tuple[str, Flag, int] | None) -> str:
    """Message about a word that is neither a flag nor its value.

    Parameters
    ----------
    before : (str, Flag, int) or None
        The last flag as given, its row of the table, and the number of words that were its value.
    """
    if before is None:
        return f"the word {word!r} belongs to no flag: files are named by flags, as in -hkl FILE -mat FILE"
    name, flag, taken = before
    both = (
        "; the axes have flags of their own, as in -detpixels_f N -detpixels_s N" if flag.name == "-detpixels" else ""
    )
    return f"the word {word!r} belongs to no flag: {name} takes {_COUNTS.get(taken, f'{taken} values')}{both}"


def wrong_call(message: str, words: Sequence[str], commands: Sequence[str]) -> str:
    """Typer's message about an unknown command or option, in terms of the given words.

    Parameters
    ----------
    message : str
        Typer's message.
    words : sequence of str
        The words after the program's name.
    commands : sequence of str
        All commands.
    """
    first = words[0] if words else ""
    if first in commands:
        # Typer reads a word after one dash as single letters, and names the first unknown one
        long = [word for word in words[1:] if word.startswith("-") and not word.startswith("--") and len(word) > 2]
        if message.startswith("No such option: -") and long and not message.startswith("No such option: --"):
            return f"unknown option {long[0]}; 'nbnumba {first} --help' lists those of {first}"
        return message
    if first.lstrip("-") in _OPTIONS:
        return f"unknown command {first!r}; did you mean {_OPTIONS[first.lstrip('-')]}?"
    if first.startswith("-") and TABLE.find(first) is not None:
        return f"a command comes before the flags: nbnumba run {first} ..."
    if message.startswith("No such command") and "Did you mean" not in message:
        return f"{message} 'nbnumba --help' lists them."
    return message
