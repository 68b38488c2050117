"""Run speed measurements: `python -m build.bench` all of them, `python -m build.bench augment` one subject."""

import importlib
import pkgutil
import sys

import build.bench
from build.console import console


def main(arguments: list[str]) -> int:
    """Run the named subjects (files of build/bench with a `main()`), or all; exit code 2 for an unknown one."""
    subjects = sorted(module.name for module in pkgutil.iter_modules(build.bench.__path__) if module.name != "__main__")
    for name in arguments or subjects:
        if name not in subjects:
            console.print(f"There is no subject {name}; choose from {', '.join(subjects)}.")
            return 2
        importlib.import_module(f"build.bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
