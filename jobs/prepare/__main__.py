"""`python -m jobs.prepare`: the same as `colorize prepare`."""

import sys

from jobs.command.runner import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("prepare"))
