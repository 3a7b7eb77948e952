"""`python -m cluster.submit`: the same as `colorize submit`."""

import sys

from cluster.config.command_line import run_command
from cluster.submit import command

if __name__ == "__main__":
    sys.exit(run_command("submit", command, sys.argv[1:]))
