"""The errors that nbnumba raises for its users.

::

    NbnumbaError
    +-- ConfigError (also ValueError)    a value that is not allowed, or values that contradict one another
    |   +-- UsageError                   a command line that cannot be read; exit code 2
    +-- FileError (also OSError)         a file that cannot be read or written, or has impossible content
    +-- ResourceError (also MemoryError) the machine has too little memory for the simulation
    +-- DeviceError (also RuntimeError)  a device that was requested by name and is unavailable, or fails
    +-- ExtraError (also ImportError)    a module whose package, an extra of nbnumba, is not installed
"""


def one_line(text: str) -> str:
    """``text`` with escapes for line ends and other control characters, which names of files may hold."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def first_line(error: BaseException) -> str:
    """First line of an exception's message that is not blank; the name of its class where there is none."""
    return next((line for line in str(error).strip().splitlines() if line.strip()), type(error).__name__)


class NbnumbaError(Exception):
    """Base of all errors whose message is meant for the user; the message is always one line."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class ConfigError(NbnumbaError, ValueError):
    """A value that is not allowed; the message names the field, the value, what is allowed, and a hint."""


class UsageError(ConfigError):
    """A command line that cannot be read."""


class FileError(NbnumbaError, OSError):
    """A file that cannot be read or written; the message names the file and, where known, the line or byte."""


class ResourceError(NbnumbaError, MemoryError):
    """The machine has too little memory for the simulation; the message says how much is needed."""


class DeviceError(NbnumbaError, RuntimeError):
    """A device requested by name is unavailable, or fails; the message says what is missing and how to get it."""


class ExtraError(NbnumbaError, ImportError):
    """A package that a module needs is not installed; the message says how to get it."""
