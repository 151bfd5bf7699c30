from .layers import BatchNorm1D

__all__ = ["BatchNorm1D"]
__version__ = "0.1.0"
