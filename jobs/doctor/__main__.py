"""`python -m jobs.doctor`: the same as `colorize doctor`."""

import sys

from jobs.command.runner import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("doctor"))
