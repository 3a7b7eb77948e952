"""`python -m jobs.archive`: the same as `colorize archive`."""

import sys

from jobs.archive.job import main

if __name__ == "__main__":
    sys.exit(main())
