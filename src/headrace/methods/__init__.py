"""A model's own methods, with typed arguments: what it says of them, and how they are called."""
