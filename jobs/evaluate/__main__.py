"""`python -m jobs.evaluate`: the same as `colorize evaluate`."""

import sys

from jobs.evaluate.job import main

if __name__ == "__main__":
    sys.exit(main())
