"""Which version this is; in a file of its own, so that no room reaches up to the package for it."""

__version__ = "0.1.0"
