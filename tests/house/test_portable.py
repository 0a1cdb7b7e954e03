"""Without what only Linux, or only POSIX, has: imported, and run, where it was taken away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = """
import os, signal, sys

for module, names in {
    os: "sched_getaffinity sched_setaffinity geteuid getuid fork register_at_fork sysconf mkfifo",
    signal: "SIGALRM SIGHUP SIGKILL SIGUSR1 setitimer ITIMER_REAL alarm pthread_sigmask",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)

class Elsewhere:
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "resource", "pwd", "grp", "termios"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in ("fcntl", "resource", "pwd", "grp"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Elsewhere())
from nbnumba.cli.main import main
words = "-cell 40 50 60 -default_F 10 -N 3 -detpixels 12 -pixel 1 -distance 50 -oversample 1".split()
assert main(["run", *words, "-nonoise"]) == 0
assert main(["info"]) == 0
assert main(["series", *words, "--stills", "2", "--out", "stills"]) == 0
assert main(["trace", "5", "6", *words]) == 0
print("good")
"""


def test_elsewhere(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.endswith("good\n"), done.stdout + done.stderr
    assert (tmp_path / "floatimage.bin").stat().st_size == 4 * 12 * 12
