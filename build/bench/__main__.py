"""Run speed measurements: `python -m build.bench` all of them, `python -m build.bench augment` one subject."""

import importlib
import pkgutil
import subprocess
import sys

import build.bench
from build.console import console, muffled
from build.errors import UserError

NOT_SUBJECTS = {"__main__", "turns", "engines", "exported", "paper_augmix"}


def subjects() -> list[str]:
    """Names of the files of build/bench that measure something, each with a `main()`."""
    return sorted(
        module.name for module in pkgutil.iter_modules(build.bench.__path__) if module.name not in NOT_SUBJECTS
    )


def main(arguments: list[str]) -> int:
    """Run the named subjects, or all; exit code 2, and nothing measured, for an unknown one."""
    known = subjects()
    if "-h" in arguments or "--help" in arguments:
        console.print(f"python -m build.bench [SUBJECT ...]: measure all subjects or some of {', '.join(known)}.")
        return 0
    for name in arguments:
        if name not in known:
            console.print(f"There is no subject {name} to measure; choose from {', '.join(known)}.")
            return 2
    names = arguments or known
    if len(names) > 1:
        # Each in a process of its own: what one has set in a framework, threads above all, would hold for the next.
        codes = [subprocess.run([sys.executable, "-m", "build.bench", name], check=False).returncode for name in names]
        return 2 if 2 in codes else int(any(codes))
    try:
        with muffled():
            subject = importlib.import_module(f"build.bench.{names[0]}")
        subject.main()
    except UserError as error:
        console.print(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
