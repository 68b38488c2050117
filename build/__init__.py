"""What stays at home: trains, packages and judges a submission (`python -m build --help`)."""

import os

# A notebook names its own backend to the commands that it starts, and matplotlib refuses to be imported with that one here.
os.environ["MPLBACKEND"] = "agg"
