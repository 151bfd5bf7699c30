"""What is trained: networks on plain NumPy arrays, in float32 or float64.

The gradients of the normalization layers are those that bncheck derives from their definitions and lowers to NumPy.
What the language of definitions cannot say, a product of matrices, an exponential or a maximum, is written here by
hand; tests/test_networks.py holds each against finite differences and against torch, and whole networks against torch
within a tolerance that is computed.
"""
