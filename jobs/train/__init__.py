"""`colorize train`: train a model on Lab shards with Ray Train. From Python:

    from jobs.train import TrainConfig, run

    config = TrainConfig(shards="shards", output="run", model={"name": "lite"}, loss={"l1": 1})
    run(config)  # the best checkpoint is run/best

`run` continues an interrupted run.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
