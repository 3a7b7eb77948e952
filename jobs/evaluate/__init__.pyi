from .config import EvaluateConfig as EvaluateConfig
from .job import run as run
