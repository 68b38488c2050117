"""bubblewrap: the container's true paths without a container engine.

The program sees /app with its mounts, a private /tmp, HOME and /dev/shm, the system's libraries and the interpreter's folders, all
of these read-only; no network, no other process, no capability, nothing else of this machine. GPUs are not shown.
Not covered: the kernel itself is shared (no seccomp filter), and the number of cores is this machine's.
"""

import shutil
import subprocess
from functools import cached_property
from pathlib import Path

from build.processes import ROOT, last_line
from build.score.sandbox import Command, Limits
from build.score.sandbox.interpreter import Interpreter
from build.score.sandbox.launch import Supervised, launch

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",  # Debian's BLAS is found through it
    "/etc/localtime",
    "/etc/ssl/certs",
    "/etc/fonts",
    "/sys/devices/system/cpu",  # the number of cores
)
ACCOUNTS = {"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\n", "hosts": "127.0.0.1 localhost\n"}


class Bubblewrap:
    """Runs commands by `bwrap`, as root or as any user where the kernel allows user namespaces."""

    name = "bwrap"
    not_isolated = ()

    def __init__(self, interpreter: Interpreter):
        self.interpreter = interpreter
        self.program = shutil.which("bwrap") or ""

    @cached_property
    def _options(self) -> list[str]:
        """Options that every call has; those that old versions lack are left out there."""
        known = subprocess.run([self.program, "--help"], capture_output=True, text=True).stdout
        options = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--hostname", "codabench"]
        # Called by root, bwrap leaves all capabilities in place, and with them the program could mount things anew.
        options += ["--cap-drop", "ALL"]
        return options + [option for option in ("--disable-userns",) if option in known]

    def _system(self) -> list[str]:
        """Arguments that show the system and the interpreter, read-only."""
        arguments: list[str] = []
        for name in SYSTEM:
            path = Path(name)
            if path.is_symlink():
                arguments += ["--symlink", str(path.readlink()), name]
            elif path.is_dir():
                arguments += ["--ro-bind", name, name]
        for name in SYSTEM_FILES:
            arguments += ["--ro-bind-try", name, name]
        shown = [Path(name) for name in SYSTEM]
        for folder in self.interpreter.folders:
            if not any(folder.is_relative_to(outer) for outer in shown):
                arguments += ["--ro-bind", str(folder), str(folder)]
        # A repository below a folder that is shown (/usr/src, an environment's own root) is covered, and an environment
        # within the repository (.nox) is shown again on top.
        if any(ROOT.is_relative_to(outer) for outer in (*shown, *self.interpreter.folders)):
            arguments += ["--tmpfs", str(ROOT)]
            for folder in self.interpreter.folders:
                if folder.is_relative_to(ROOT) and folder != ROOT:
                    arguments += ["--ro-bind", str(folder), str(folder)]
        return arguments

    @cached_property
    def _why_not(self) -> str:
        python = str(self.interpreter.executable)
        call = [self.program, *self._options, *self._system(), "--proc", "/proc", "--dev", "/dev", "--remount-ro", "/"]
        try:
            done = subprocess.run(
                [*call, "--", python, "-I", "-S", "-c", ""], capture_output=True, text=True, timeout=30
            )
        except subprocess.TimeoutExpired:
            return "bwrap does not answer within 30 seconds."
        if done.returncode:
            said = last_line(done.stderr) or f"bwrap ended with {done.returncode}"
            return f"{said} (does this machine allow user namespaces?)"
        return ""

    def unavailable(self) -> str:
        """Why bwrap cannot run here: not installed, or namespaces are refused."""
        if not self.program:
            return "bwrap is not installed (Debian and Ubuntu: apt-get install bubblewrap)."
        return self._why_not

    def arguments(self, command: Command) -> list[str]:
        """The whole bwrap call for `command`."""
        folder = command.folder
        env = {
            "PATH": f"{self.interpreter.executable.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PYTHONNOUSERSITE": "1",
            "CUDA_VISIBLE_DEVICES": "-1",
        } | command.env
        arguments = [self.program, *self._options, "--clearenv"]
        for name, value in env.items():
            arguments += ["--setenv", name, value]
        # HOME and /tmp come first: the interpreter's folders may lie below either.
        arguments += ["--bind", str(folder / "tmp"), "/tmp", "--bind", str(folder / "home"), "/root"]  # noqa: S108
        arguments += self._system()
        for name in ACCOUNTS:
            arguments += ["--ro-bind", str(folder / "accounts" / name), f"/etc/{name}"]
        arguments += ["--proc", "/proc", "--dev", "/dev", "--bind", str(folder / "shm"), "/dev/shm"]  # noqa: S108
        for mount in sorted(command.mounts, key=lambda mount: mount.inside):
            arguments += ["--bind" if mount.writable else "--ro-bind", str(mount.host), mount.inside]
        arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", command.cwd, "--"]
        return [*arguments, *self.interpreter.run_by(command.argv)]

    def start(self, command: Command, limits: Limits) -> Supervised:
        """Start it in new namespaces."""
        accounts = command.folder / "accounts"
        accounts.mkdir(parents=True, exist_ok=True)
        for name, text in ACCOUNTS.items():
            (accounts / name).write_text(text)
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
        return launch(command, limits, self.arguments(command), env=env, cwd=command.folder)
