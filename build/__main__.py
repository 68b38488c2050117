"""`python -m build COMMAND`; without a command it lists them, and each has --help."""

import os
import sys

# Before the framework is imported: its notices about CPU features and absent CUDA libraries hide what we print.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

if __name__ == "__main__":
    try:
        from build.cli import main

        sys.exit(main())
    except KeyboardInterrupt:  # while it is still importing
        sys.exit(130)
