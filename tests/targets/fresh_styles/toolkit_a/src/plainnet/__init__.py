"""plainnet: strata stacked on each other."""
from .strata import BatchStandardiser

__all__ = ["BatchStandardiser"]
