"""Studies: lists of recipes trained under one protocol and judged as zips; `python -m build reproduce --study models`."""
