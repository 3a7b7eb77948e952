"""`python -m jobs.import`: the same as `colorize import`."""

import sys

from jobs.command.runner import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("import"))
