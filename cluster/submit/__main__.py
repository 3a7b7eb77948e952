"""`python -m cluster.submit`: the same as `colorize submit`."""

import runpy

if __name__ == "__main__":
    # By name, because this package does not import jobs, whose configurations the verb checks.
    runpy.run_module("jobs.submit", run_name="__main__")
