"""`python -m jobs.sweep`: the same as `colorize sweep`."""

import sys

from jobs.sweep.job import main

if __name__ == "__main__":
    sys.exit(main())
