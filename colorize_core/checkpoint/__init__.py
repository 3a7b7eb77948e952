"""Model files: model.safetensors and config.json, training state, export to other runtimes.

`load_checkpoint` and `save_checkpoint` are imported when they are first used: reading the configuration of a checkpoint
does not need torch, which takes seconds to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
