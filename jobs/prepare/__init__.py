"""`colorize prepare`: convert photographs to Lab shards. From Python:

from jobs.prepare import PrepareConfig, run

config = PrepareConfig(source="photos", output="shards", size=128)
run(config)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
