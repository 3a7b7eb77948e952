from .baselines import (
    best_constant as best_constant,
)
from .baselines import (
    ceiling as ceiling,
)
from .baselines import (
    constant_color as constant_color,
)
from .baselines import (
    gray as gray,
)
from .difference import auc as auc
from .difference import ciede2000 as ciede2000
from .difference import rarity as rarity
from .difference import rebalanced_auc as rebalanced_auc
from .distribution import (
    InceptionFeatures as InceptionFeatures,
)
from .distribution import (
    fid as fid,
)
from .distribution import (
    frechet_distance as frechet_distance,
)
from .distribution import (
    kid as kid,
)
from .hue import colored as colored
from .hue import false_color as false_color
from .hue import right_hue as right_hue
from .intervals import bootstrap as bootstrap
from .intervals import percentile_interval as percentile_interval
from .perceptual import LPIPS as LPIPS
from .pixel import colorfulness as colorfulness
from .pixel import mae_ab as mae_ab
from .pixel import mse as mse
from .pixel import psnr as psnr
from .pixel import psnr_of_mse as psnr_of_mse
from .similarity import ssim as ssim
from .similarity import ssim_uniform as ssim_uniform
from .similarity import ssim_unit as ssim_unit
