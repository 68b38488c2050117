"""`python -m build COMMAND`: train, package, score, leaderboard, inspect, bundle (each with --help)."""

import sys

from build.cli import main

sys.exit(main())
