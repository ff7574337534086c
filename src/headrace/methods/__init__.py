"""A model's own methods with typed arguments: their signatures, and calling them."""
