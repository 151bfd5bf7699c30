from .standardise import BatchStandardiser

__all__ = ["BatchStandardiser"]
