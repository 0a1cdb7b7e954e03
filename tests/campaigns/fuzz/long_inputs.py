"""Long inputs that cost time or memory by their length squared where a reader is careless."""

from __future__ import annotations

import bz2
import functools
import gzip


def hard(name: str) -> dict[str, bytes]:
    """Long inputs that cost time or memory by their length squared where a reader is careless."""
    common, own = _long()
    return common | own.get(name, {})


@functools.cache
def _long() -> tuple[dict[str, bytes], dict[str, dict[str, bytes]]]:
    """Those of every target, and those of each; packing tens of megabytes takes a second."""
    length = 60_000
    common = {
        "digits": b"1" * length + b"x",
        "one_letter_words": b"a " * (length // 2),
        "blanks": b" " * length,
        "line_ends": b"\n" * length,
        "minus_signs": b"1-" * (length // 2),
    }
    own: dict[str, dict[str, bytes]] = {
        "trace": {"one_factor_often": b"TRACE_C: a 1\n" * 4500, "brackets": b'{"traces":' + b"[" * length},
        "toml": {"brackets": b"[beam]\nflux = " + b"[" * length, "keys": b"a." * (length // 2) + b"b = 1\n"},
        "expt": {"brackets": b"[" * length, "objects": b'{"a":' * (length // 5)},
        "manifest": {"brackets": b"[" * length},
        "geom": {"terms": b"a/fs = " + b"x" * length, "panels": b"".join(b"p%d/fs = x\n" % i for i in range(5000))},
        "stream": {
            "chunks": b"CrystFEL stream format 2.3\n" + b"----- Begin chunk -----\n----- End chunk -----\n" * 1300,
            "crystals": b"CrystFEL stream format 2.3\n----- Begin chunk -----\n" + b"--- Begin crystal\n" * 3000,
            "panels": _stream_of(b"".join(b"p%d/fs = x\np%d/clen = /a\n" % (i, i) for i in range(2200))),
        },
        "refl": {
            "arrays": b"\x93\xbbdials::af::reflection_table\x02\x81\xa4data\x81\xa2id" + b"\xdd\0\0\xff\xff" * 8000,
            "maps": b"\x93\xbbdials::af::reflection_table\x02\x81\xa4data" + b"\x81\xa1a" * 15_000,
            "columns": b"\x93\xbbdials::af::reflection_table\x02\x81\xa4data\xdd\0\0\x40\0"
            + b"\xa1a\x92\xa1b\xc0" * 8000,
        },
        "xdsinp": {"keywords": b"ORGX=1 " * 8500, "segments": b"SEGMENT= 1 2 3 4\n" * 3500},
        "smv": {"equals": b"{\nHEADER_BYTES=65024;\n" + b"SIZE1=" * 10_000},
        "cbf": {"hashes": b"# Detector_distance\n" + b"#\n" * (length // 2)},
        "hkl": {
            "commas": b"1 2 3 " * 10_000 + b",",
            "reflections": b"1 2 3 4\n" * 7500,
            "one_number_a_line": b"1\n" * (length // 2),
        },
        "sfcif": {
            "blanks_in_gzip": gzip.compress(b"data_a\n" + b" " * (60 << 20), mtime=0),
            "columns": b"data_a\nloop_\n" + b"_refln.a\n" * 6000,
        },
        "shelx": {"rows": b"   1   2   3  100.00    1.00\n" * 2000, "packed": bz2.compress(b" " * (60 << 20))},
        "xdsascii": {
            "headers": b"!FORMAT=XDS_ASCII " + b"A=1 " * 15_000,
            "equals": b"!FORMAT=XDS_ASCII\n!" + b"=" * length,
        },
        "crystfellist": {"rows": b"CrystFEL reflection list\nSymmetry: m-3m\n h k l I\n" + b"1 2 3 4\n" * 7500},
        "scalepack": {
            "rows": b"    1\n -987\n 1 1 1 90 90 90 p1\n" + b"   1   2   3     1.0     1.0\n" * 2000,
            "digits": b"    8 p4\n" + b"4" * length,
            "lines": b"1 1 1\n" + b"\n" * length,
        },
        "arguments": {"numbers": b"-cell " + b"1 " * 25_000},
    }
    return common, own


def _stream_of(geometry: bytes) -> bytes:
    """A stream with a geometry file and an image whose camera length is known."""
    ends = b"----- Begin geometry file -----\n", b"----- End geometry file -----\n----- Begin chunk -----\n"
    chunk = b"photon_energy_eV = 9500\naverage_camera_length = 0.1 m\n----- End chunk -----\n"
    return b"CrystFEL stream format 2.3\n" + ends[0] + geometry + ends[1] + chunk
