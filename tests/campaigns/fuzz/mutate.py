"""A plain mutator over a corpus: no coverage, no dependency, the same bytes for the same seed."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

#: Numbers that readers stumble over, in the spellings of text files.
NUMBERS = (
    *(
        b"0",
        b"-1",
        b"1",
        b"nan",
        b"inf",
        b"-inf",
        b"1e999",
        b"-1e308",
        b"1e-320",
        b"2147483647",
        b"2147483648",
        b"0x10",
    ),
    *(b"4294967296", b"9223372036854775808", b"1" * 400, b"0.5", b"true", b"null", b"[]", b"{}", b'""', b"1e5", b"-0"),
)
#: The same as bytes of binary formats.
INTEGERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\xc0\x7f", b"\1\0\0\0", b"\0\1")
_NUMBER = re.compile(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")


def words(seeds: Sequence[bytes]) -> list[bytes]:
    """Words of the seeds, for dictionaries."""
    found: set[bytes] = set()
    for seed in seeds:
        found.update(re.findall(rb"[A-Za-z_][\w./()+-]{2,40}", seed[: 1 << 14]))
    return sorted(found)[:400]


def mutate(random_: random.Random, corpus: Sequence[bytes], vocabulary: Sequence[bytes], limit: int) -> bytes:
    """One new input: a member of the corpus after one to five changes."""
    data = bytearray(random_.choice(corpus))
    for _ in range(random_.randint(1, 5)):
        data = _change(random_, data, corpus, vocabulary)
    return bytes(data[:limit])


def _change(random_: random.Random, data: bytearray, corpus: Sequence[bytes], vocabulary: Sequence[bytes]) -> bytearray:
    kind = random_.randrange(9)
    at = random_.randint(0, len(data))
    end = min(len(data), at + random_.choice((1, 1, 2, 4, 8, 32, 256)))
    if kind == 0 and data:  # flip bits
        data[at % len(data)] ^= 1 << random_.randrange(8)
    elif kind == 1:  # another byte
        data[at:end] = bytes(random_.randrange(256) for _ in range(end - at))
    elif kind == 2:
        del data[at:end]
    elif kind == 3:  # say it again, once or many times
        data[at:at] = data[at:end] * random_.choice((1, 1, 2, 50))
    elif kind == 4:
        data[at:end] = random_.choice(INTEGERS)
    elif kind == 5:  # another number in the place of one
        marks = list(_NUMBER.finditer(data, at, min(len(data), at + 4096)))
        if marks:
            mark = random_.choice(marks)
            data[mark.start() : mark.end()] = random_.choice(NUMBERS)
    elif kind == 6 and vocabulary:
        data[at : random_.choice((at, end))] = random_.choice(vocabulary)
    elif kind == 7:  # the end of another
        other = random_.choice(corpus)
        data[at:] = other[random_.randint(0, len(other)) :]
    else:
        lines = bytes(data).split(b"\n")
        i, j = random_.randrange(len(lines)), random_.randrange(len(lines))
        lines[i], lines[j] = lines[j], lines[i]
        data = bytearray(b"\n".join(lines))
    return data
