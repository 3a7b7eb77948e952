"""`python -m jobs.sweep`: the same as `colorize sweep`."""

import sys

from jobs.command.runner import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("sweep"))
