"""`python -m jobs.prepare`: the same as `colorize prepare`."""

import sys

from jobs.prepare.job import main

if __name__ == "__main__":
    sys.exit(main())
