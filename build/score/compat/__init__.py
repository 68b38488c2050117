"""Version skew: the same zip under several versions of the framework, the server's among them (`python -m build compat`)."""
