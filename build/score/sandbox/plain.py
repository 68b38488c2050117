"""A plain process with rewritten paths: works everywhere, isolates little, and says so.

The container's paths (/app/...) become folders of a scratch directory in the command and in the environment. A program that has
such a path in its own source cannot run this way.
"""

import shutil
from pathlib import Path

from build.errors import UserError
from build.score.sandbox import Command, Limits
from build.score.sandbox.interpreter import Interpreter
from build.score.sandbox.launch import Supervised, launch


class Plain:
    """A subprocess with a clean environment, its own working directory, HOME and TMPDIR, and all limits."""

    name = "plain"

    def __init__(self, interpreter: Interpreter, why: str = ""):
        self.interpreter = interpreter
        self.not_isolated = (
            *((f"bubblewrap is not used: {why}",) if why else ()),
            "The submission can read this machine's files, the reference labels and this repository included.",
            "The submission can write wherever this user can.",
            "The network is open, so a download that would fail on the server succeeds.",
            "Paths under /app are rewritten in the command only; a program that has them in its source fails.",
        )

    def unavailable(self) -> str:
        """Always works."""
        return ""

    def start(self, command: Command, limits: Limits) -> Supervised:
        """Start it with folders of `command.folder` in the place of /app."""
        root = command.folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        for mount in command.mounts:
            place = root / mount.inside.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            # A link, not a copy: test images are large. Nested mounts (/app/input/ref) would need a folder there.
            place.symlink_to(mount.host.resolve(), target_is_directory=True)

        def moved(text: str) -> str:
            return text.replace("/app/", f"{root}/app/")

        cwd = Path(moved(command.cwd + "/"))
        if not cwd.is_dir():
            raise UserError(f"The working directory {command.cwd} is none of the folders of this container.")
        home, temporary = command.folder / "home", command.folder / "tmp"
        env = {
            "PATH": f"{self.interpreter.executable.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "PYTHONNOUSERSITE": "1",
            "CUDA_VISIBLE_DEVICES": "-1",
        } | {name: moved(value) for name, value in command.env.items()}
        # The interpreter's own path stays as it is: it may lie below a folder /app of this machine.
        argv = self.interpreter.run_by(tuple(moved(word) for word in command.argv))
        return launch(command, limits, argv, env=env, cwd=cwd)
