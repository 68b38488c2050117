"""What a data source holds, found and shown on one page: `python -m build inspect --data training_set.npz`."""
