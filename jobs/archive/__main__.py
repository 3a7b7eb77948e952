"""`python -m jobs.archive`: the same as `colorize archive`."""

import sys

from jobs.command.runner import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("archive"))
