from .config import PrepareConfig as PrepareConfig
from .job import run as run
