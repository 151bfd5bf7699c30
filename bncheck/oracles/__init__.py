"""Independent ways to a layer's gradients; none of them imports another."""
