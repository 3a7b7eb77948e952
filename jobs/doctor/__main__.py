"""`python -m jobs.doctor`: the same as `colorize doctor`."""

import sys

from jobs.doctor.job import main

if __name__ == "__main__":
    sys.exit(main())
