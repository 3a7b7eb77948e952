from .weights import load_checkpoint as load_checkpoint
from .weights import save_checkpoint as save_checkpoint
