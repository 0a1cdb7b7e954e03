"""``python -m nbnumba``: the command line."""

import sys

from nbnumba.cli.start import main

if __name__ == "__main__":
    sys.exit(main())
