"""What stays at home: trains, packages and judges a submission (`python -m build --help`)."""
