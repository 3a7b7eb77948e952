from .config import TrainConfig as TrainConfig
from .job import run as run
