"""`python -m jobs.submit`: the same as `colorize submit`."""

import sys

from jobs.command.runner import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("submit"))
