from .nodes.bn_spatial import SpatialNorm

__all__ = ["SpatialNorm"]
