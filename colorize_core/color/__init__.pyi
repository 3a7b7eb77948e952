from .lab import lab_to_rgb as lab_to_rgb
from .lab import rgb_to_lab as rgb_to_lab
