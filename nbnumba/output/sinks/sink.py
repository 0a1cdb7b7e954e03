"""Interface of the writers of output files.

To add a format, change these files:

- a module here with a child of :class:`Sink`, and its row in ``nbnumba.output.sinks.table``;
- a field of :class:`nbnumba.model.outputs.Outputs` that names the file, with a ``FileUse`` beside its type;
- a flag in ``cli/flag_table_output.py``, then ``docs/flags.md`` by its script, and a row in ``docs/outputs.md``;
- a field of :class:`nbnumba.output.writing.Written` for a fact of the run that only the new sink knows.

A writer that others could use belongs to ``nbnumba.io``, with its reader. A library that is slow to load (h5py,
Matplotlib, fabio) is imported in :meth:`Sink.write` and not by the module, because the table imports all modules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from nbnumba.model.frames import ImageGeometry
from nbnumba.model.outputs import Outputs
from nbnumba.readout.exposure import Exposure


@dataclass(frozen=True)
class Report:
    """Result of writing a file.

    Attributes
    ----------
    files : tuple of Path
        Files that were written.
    notes : tuple of str
        Notes for the user.
    facts : dict
        Values for fields of :class:`nbnumba.output.writing.Written`.
    """

    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Sink(ABC):
    """Writer of one kind of file, which also decides whether a run wants it.

    Attributes
    ----------
    field : str or None
        Field of :class:`nbnumba.model.outputs.Outputs` that names the file; None if :meth:`target` has another source.
    first_panel : int or None
        Position in the note that lists files with only the first panel; None: the file has all panels, or no image.
    every_panel_flag : str or None
        Flag that this note recommends; None: the file has one panel only, or no image.
    """

    field: ClassVar[str | None] = None
    first_panel: ClassVar[int | None] = None
    every_panel_flag: ClassVar[str | None] = None

    def target(self, exposure: Exposure) -> Path | None:
        """The file to write; None: it is not wanted."""
        return None if self.field is None else getattr(exposure.outputs, self.field)

    @abstractmethod
    def write(self, path: Path, exposure: Exposure) -> Report:
        """Write the file with :func:`nbnumba.io.files.atomic_write`.

        Raises
        ------
        FileError
            The file cannot be written.
        """

    def has_plain_header(self, outputs: Outputs) -> bool:
        """Whether DIALS reads the file, and its header has no more geometry than a distance, a beam centre and an angle."""
        return False

    def join(self, path: Path, parts: Sequence[Path], geometry: ImageGeometry) -> None:
        """Write a file that presents the images of ``parts``, one of each, in their order; for fields that are ``joined``.

        Raises
        ------
        FileError
            A part cannot be read, or the file cannot be written.
        """
        raise NotImplementedError(f"{type(self).__name__} joins no files")
