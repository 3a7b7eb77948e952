from .config import ArchiveConfig as ArchiveConfig
from .job import run as run
