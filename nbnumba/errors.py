"""The errors that nbnumba raises on purpose.

::

    NbnumbaError
    +-- ConfigError (also ValueError)    a value that no simulation can use
    |   +-- UsageError                   a command line that cannot be read; exit code 2
    +-- FileError (also OSError)         a file that cannot be read or written, or says something impossible
    +-- ResourceError (also MemoryError) the machine is too small for what was asked
    +-- DeviceError (also RuntimeError)  a device that was asked for by name and is not to be had
"""


class NbnumbaError(Exception):
    """Base of all errors whose message is meant for the user: one line, whatever names and values it quotes."""

    def __str__(self) -> str:
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in super().__str__())


class ConfigError(NbnumbaError, ValueError):
    """A value that no simulation can use; the message names field, value, what is allowed, and a hint."""


class UsageError(ConfigError):
    """A command line that cannot be read."""


class FileError(NbnumbaError, OSError):
    """A file that cannot be read or written; the message names the file and, where known, the line or byte."""


class ResourceError(NbnumbaError, MemoryError):
    """The machine is too small for what was asked; the message says how much is needed."""


class DeviceError(NbnumbaError, RuntimeError):
    """A device asked for by name is not to be had; the message says what is missing and how to get it."""
