"""`python -m build COMMAND`; without a command it lists them, and each has --help."""

import os
import sys

# Before the framework is imported: its notices about CPU features and absent CUDA libraries hide what we print.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from build.cli import main

if __name__ == "__main__":
    sys.exit(main())
