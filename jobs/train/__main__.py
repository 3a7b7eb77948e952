"""`python -m jobs.train`: the same as `colorize train`."""

import sys

from jobs.command.runner import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("train"))
