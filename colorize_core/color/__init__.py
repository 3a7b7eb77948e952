"""Color spaces, the sRGB gamut, and color distributions.

The functions of `colorize_core.color.lab` are imported at their first use, since importing torch takes seconds and the
other modules of this package work without it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
