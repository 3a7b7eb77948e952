"""`python -m jobs.train`: the same as `colorize train`."""

import sys

from jobs.train.job import main

if __name__ == "__main__":
    sys.exit(main())
