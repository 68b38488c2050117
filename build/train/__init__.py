"""Batches, losses, optimisers and the fit that turn a recipe into a run folder."""
