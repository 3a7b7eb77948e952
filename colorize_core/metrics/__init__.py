"""Metrics per image and of sets, trivial baselines and intervals; docs/reference/metrics.md defines each.

Every per-image metric takes a batch and returns one value per image, from which means, intervals and worst cases are
computed. RGB metrics are of uint8 images with a peak of 255, as users get them; the photograph is rounded in the same
way. `registry` holds the label, unit, digits and direction of each.

The functions are imported when they are first used: the registry works without torch, which takes seconds to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
