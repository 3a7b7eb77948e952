"""`python -m cluster.submit`: the same as `colorize submit`."""

import sys

from cluster.submit.command import main

if __name__ == "__main__":
    sys.exit(main())
