"""Table of all output files."""

from __future__ import annotations

from nbnumba.output.sinks.cbf import CbfImage
from nbnumba.output.sinks.dump import StructureFactorDump
from nbnumba.output.sinks.nexus import NexusImage
from nbnumba.output.sinks.npy import NumpyImage
from nbnumba.output.sinks.pgm import GreyImage
from nbnumba.output.sinks.picture import Picture
from nbnumba.output.sinks.raw import FloatImage
from nbnumba.output.sinks.sink import Sink
from nbnumba.output.sinks.smv import IntegerImage, NoiseImage
from nbnumba.output.sinks.truth import TruthTables

#: Sinks in the order in which files are written, and listed.
SINKS: tuple[Sink, ...] = (
    StructureFactorDump(),
    FloatImage(),
    IntegerImage(),
    GreyImage(),
    NoiseImage(),
    CbfImage(),
    NexusImage(),
    NumpyImage(),
    TruthTables(),
    Picture(),
)
#: Sinks by the field of :class:`nbnumba.model.outputs.Outputs` that names the file.
BY_FIELD: dict[str, Sink] = {sink.field: sink for sink in SINKS if sink.field is not None}
