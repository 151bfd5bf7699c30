"""The explorer: one page in which a layer's forward and backward pass can be played with, and its numbers."""
