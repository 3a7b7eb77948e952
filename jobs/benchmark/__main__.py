"""`python -m jobs.benchmark`: the same as `colorize benchmark`."""

import sys

from jobs.command.runner import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("benchmark"))
