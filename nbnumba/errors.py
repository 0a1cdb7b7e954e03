"""The errors that nbnumba raises on purpose.

::

    NbnumbaError
    +-- ConfigError (also ValueError)    a value that no simulation can use
    |   +-- UsageError                   a command line that cannot be read; exit code 2
    +-- FileError (also OSError)         a file that cannot be read or written, or says something impossible
    +-- ResourceError (also MemoryError) the machine is too small for what was asked
    +-- DeviceError (also RuntimeError)  a device that was asked for by name and is unavailable, or fails
"""


def one_line(text: str) -> str:
    """``text`` with escapes in place of line ends and other control characters: names of files may hold any."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def first_line(error: BaseException) -> str:
    """The first line with a word in it of what an exception says; the name of its class where it says nothing."""
    return next((line for line in str(error).strip().splitlines() if line.strip()), type(error).__name__)


class NbnumbaError(Exception):
    """Base of all errors whose message is meant for the user: one line, whatever names and values it quotes."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class ConfigError(NbnumbaError, ValueError):
    """A value that no simulation can use; the message names field, value, what is allowed, and a hint."""


class UsageError(ConfigError):
    """A command line that cannot be read."""


class FileError(NbnumbaError, OSError):
    """A file that cannot be read or written; the message names the file and, where known, the line or byte."""


class ResourceError(NbnumbaError, MemoryError):
    """The machine is too small for what was asked; the message says how much is needed."""


class DeviceError(NbnumbaError, RuntimeError):
    """A device asked for by name is unavailable, or fails; the message says what is missing and how to get it."""
