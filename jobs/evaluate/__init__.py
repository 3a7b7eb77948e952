"""`colorize evaluate`: score checkpoints on a test split. From Python:

from jobs.evaluate import EvaluateConfig, run

config = EvaluateConfig(shards="shards", output="evaluation", checkpoint={"mine": "run/best", "starter": "starter"})
run(config)  # writes table.md, metrics.json, grid.png and report/ to the output
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
