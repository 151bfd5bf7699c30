"""Is everything right? The campaign that verify runs."""
