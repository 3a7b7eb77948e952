"""`python -m jobs.evaluate`: the same as `colorize evaluate`."""

import sys

from jobs.command.runner import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("evaluate"))
