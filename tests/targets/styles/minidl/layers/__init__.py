from .norm import BatchNorm1D

__all__ = ["BatchNorm1D"]
