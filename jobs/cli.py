"""The command line: `colorize VERB [--config FILE] [key=value ...]`, the same as `python -m jobs.VERB ...`.

Exit codes: 0 done; 1 the job failed; 2 bad usage or configuration; 3 done, but more inputs failed than allowed;
130 interrupted by Ctrl-C; 143 terminated by SIGTERM.
"""

import sys

from jobs.command.runner import main as main
from jobs.command.verb import VERBS as VERBS

if __name__ == "__main__":
    sys.exit(main())
