"""The process that feeds targets: ``python -m tests.campaigns.fuzz.worker guided|plain FOLDER SECONDS SEED TARGET...``.

What is being tried lies in ``FOLDER/TARGET<suffix>`` before it is read, so that it is known whatever becomes of the
process. Only then is the result of a run worth something: standard error ends with a line ``RUNS target n seconds``.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads of BLAS take address space of their own

from tests.campaigns.fuzz import contract, mutate
from tests.campaigns.fuzz.long_inputs import hard
from tests.campaigns.fuzz.seeds import regressions, seeds
from tests.campaigns.fuzz.targets import Target, find


def corpus_of(name: str, extra: Path | None = None) -> list[bytes]:
    """Seeds, regressions, and what earlier runs kept in ``extra``."""
    with tempfile.TemporaryDirectory() as scratch:
        found = seeds(name, Path(scratch))
    found += regressions(name).values()
    if extra is not None and extra.is_dir():
        found += [path.read_bytes() for path in sorted(extra.iterdir())]
    return found


class Feeder:
    """Gives inputs to one target, within the limits."""

    def __init__(self, target: Target, folder: Path, seconds: float = contract.CPU_SECONDS) -> None:
        self.target, self.seconds = target, seconds
        self.path = folder / f"{target.name}{target.suffix}"

    def warm(self, corpus: Sequence[bytes]) -> None:
        """Let the target import what it needs; anything it has to say comes later, within the limits."""
        for data in corpus:
            self.path.write_bytes(data)
            try:
                contract.read(self.target, self.path)
            except Exception:  # told when it is tried again
                continue

    def __call__(self, data: bytes) -> None:
        with open(self.path, "wb") as file:
            file.write(data)
        with contract.limits(len(data), self.seconds):
            contract.read(self.target, self.path)


def plain(target: Target, folder: Path, seconds: float, seed: int, most: int) -> int:
    """Seeds, long inputs, and then mutated seeds without a look at coverage; the number of inputs, some ``most``."""
    corpus = corpus_of(target.name)
    vocabulary = mutate.words(corpus)
    feed = Feeder(target, folder)
    feed.warm(corpus)
    random_ = random.Random(f"{seed} {target.name}")
    runs = 0
    for data in (*corpus, *hard(target.name).values()):
        feed(data)
        runs += 1
    end = time.monotonic() + seconds
    while time.monotonic() < end and runs < most:
        feed(mutate.mutate(random_, corpus, vocabulary, contract.MAX_SIZE))
        runs += 1
    return runs


def guided(target: Target, folder: Path, seconds: float, seed: int) -> None:
    """Let atheris look for inputs that reach new code; it ends the process."""
    import atheris

    feed = Feeder(target, folder, 4 * contract.CPU_SECONDS)  # its counters slow everything down
    # compiled kernels cannot be counted in, and no reader calls one
    with atheris.instrument_imports(include=["nbnumba", "tomllib"], exclude=["nbnumba.kernels"]):
        corpus = corpus_of(target.name)
        feed.warm(corpus)
    kept, start, vocabulary = folder / "corpus", folder / "seeds", folder / "words"
    start.mkdir(exist_ok=True)
    kept.mkdir(exist_ok=True)
    for i, data in enumerate(corpus):
        (start / f"{i:03d}").write_bytes(data)
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in (*mutate.words(corpus), *mutate.NUMBERS[:16]))
    vocabulary.write_text("".join(f'"{word}"\n' for word in escaped))
    options = [f"-max_total_time={int(seconds)}", f"-max_len={contract.MAX_SIZE}", f"-dict={vocabulary}", "-timeout=60"]
    options += [f"-artifact_prefix={folder}/", f"-seed={seed + 1}", "-print_final_stats=1", "-rss_limit_mb=4096"]
    atheris.Setup([sys.argv[0], str(kept), str(start), *options], feed)
    atheris.Fuzz()


def main(words: Sequence[str]) -> None:
    """Run targets one after the other."""
    how, folder, seconds, seed, most, *names = words
    contract.watch_processor()
    for name in names:
        begun = time.monotonic()
        print(f"TARGET {name}", file=sys.stderr, flush=True)
        if how == "guided":
            guided(find(name), Path(folder), float(seconds), int(seed))
        runs = plain(find(name), Path(folder), float(seconds), int(seed), int(most))
        print(f"RUNS {name} {runs} {time.monotonic() - begun:.1f}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
