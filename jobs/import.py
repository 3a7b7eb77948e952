"""`python -m jobs.import`: the same as `colorize import`."""

import sys

from jobs.import_weights import main

if __name__ == "__main__":
    sys.exit(main())
