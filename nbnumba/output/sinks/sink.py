"""What the formats of output have in common.

To add a format, touch these files:

- a module here with a child of :class:`Sink`, and its row in ``nbnumba.output.sinks.table``;
- a field of :class:`nbnumba.model.outputs.Outputs` that names the file, with a ``FileUse`` beside its type;
- a flag in ``cli/flag_table_output.py``, then ``docs/flags.md`` by its script, and a row in ``docs/outputs.md``;
- a fact of the run that only the new file knows: a field of :class:`nbnumba.output.writing.Written`.

A writer that others could use belongs to ``nbnumba.io``, with its reader. A library that is slow to load (h5py,
Matplotlib, fabio) is imported in :meth:`Sink.write`, never with the module: the table loads all modules.
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
    """What a sink has to say.

    Attributes
    ----------
    files : tuple of Path
        Those it has written.
    notes : tuple of str
        What the user has to be told.
    facts : dict
        Fields of :class:`nbnumba.output.writing.Written` that it knows.
    """

    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Sink(ABC):
    """One kind of file: knows whether a run wants it, and writes it.

    Attributes
    ----------
    field : str or None
        Field of :class:`nbnumba.model.outputs.Outputs` that names the file; None where :meth:`target` asks something
        else.
    first_panel : int or None
        Place among the files that a note names because they hold the first panel only; None: it holds all panels, or
        no image.
    every_panel_flag : str or None
        Flag that the same note recommends; None: it holds one panel only, or no image.
    """

    field: ClassVar[str | None] = None
    first_panel: ClassVar[int | None] = None
    every_panel_flag: ClassVar[str | None] = None

    def target(self, exposure: Exposure) -> Path | None:
        """The file to write; None: it is not wanted."""
        return None if self.field is None else getattr(exposure.outputs, self.field)

    @abstractmethod
    def write(self, path: Path, exposure: Exposure) -> Report:
        """Write the file, by means of :func:`nbnumba.io.files.atomic_write`.

        Raises
        ------
        FileError
            It cannot be written.
        """

    def has_plain_header(self, outputs: Outputs) -> bool:
        """Whether DIALS reads the file, and its header cannot say more than a distance, a beam centre and an angle."""
        return False

    def join(self, path: Path, parts: Sequence[Path], geometry: ImageGeometry) -> None:
        """Write a file that shows the images of ``parts``, one each, in their order; of fields that are ``joined``.

        Raises
        ------
        FileError
            A part cannot be read, or the file cannot be written.
        """
        raise NotImplementedError(f"{type(self).__name__} joins no files")
