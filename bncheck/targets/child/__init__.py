"""What runs in the process of somebody's code, and nowhere else."""
