"""``python -m nbnumba.cli.nanobragg``: 'nbnumba run' under the name of nanoBragg (:mod:`nbnumba.cli.alias`).

As the C program it shows the usage if there are no words, and goes on after a word that it does not know; a warning names the
word. Options of the PyTorch port, which has that name too, are understood.
"""

from __future__ import annotations

import sys

from nbnumba.cli import start

#: Options of the PyTorch port -> ours.
PORT = {
    "-device": "--device",
    "-dtype": "--dtype",
    "-show_config": "--show-config",
    "-echo_config": "--show-config",
}


def main() -> int:
    """Run the words of the process and return the exit code."""
    words = sys.argv[1:] or ["--help"]
    sys.argv[1:] = ["run", "--lenient", *(PORT.get(word, word) for word in words)]
    return start.main()


if __name__ == "__main__":
    sys.exit(main())
