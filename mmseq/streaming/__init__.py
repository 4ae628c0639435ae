"""Live use: a model's state kept for each sample, one step at a time."""
