"""Sweeps: recipes, seeds, folds and trials of a search as many runs, here or on a Ray cluster; `python -m build sweep`."""
