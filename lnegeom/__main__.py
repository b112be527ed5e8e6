"""``python -m lnegeom``: the command line."""

import sys

from lnegeom.cli import main

if __name__ == "__main__":
    sys.exit(main())
