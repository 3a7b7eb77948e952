"""`python -m jobs.benchmark`: the same as `colorize benchmark`."""

import sys

from jobs.benchmark.job import main

if __name__ == "__main__":
    sys.exit(main())
