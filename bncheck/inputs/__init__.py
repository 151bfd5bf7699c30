"""On which inputs? Recipes and strategies that draw cases, and real mini-batches."""
