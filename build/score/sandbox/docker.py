"""A container engine (docker or podman) with the competition's own image: the closest to the server where one is at hand.

Adds to the worker's own call what the worker leaves out: no network, a memory limit, a limit of processes and of file size,
all capabilities dropped. Not covered: peak memory is not measured (the program's own report is used where there is one).
"""

import os
import shutil
import subprocess
import uuid
from functools import cached_property

from build.processes import last_line
from build.score.sandbox import Command, Limits
from build.score.sandbox.launch import Supervised, launch

CLIENTS = ("docker", "podman")


class Docker:
    """Runs commands by `docker run` (or `podman run`)."""

    name = "docker"
    not_isolated = ()

    def __init__(self, image: str, client: str = ""):
        self.image = image
        self.client = client or next((name for name in CLIENTS if shutil.which(name)), CLIENTS[0])

    @cached_property
    def _why_not(self) -> str:
        if not self.image:
            return "no image was named; give the competition's docker image."
        if not shutil.which(self.client):
            return "neither docker nor podman is installed."
        try:
            done = subprocess.run([self.client, "version"], capture_output=True, text=True, timeout=30)
        except subprocess.TimeoutExpired:
            return f"{self.client} does not answer within 30 seconds."
        if done.returncode:
            return last_line(done.stderr) or f"{self.client} version ended with {done.returncode}"
        found = subprocess.run([self.client, "image", "inspect", self.image], capture_output=True, timeout=60)
        # Pulling is left to the user: it may take many minutes and needs the network.
        return f"the image {self.image} is not here; run: {self.client} pull {self.image}" if found.returncode else ""

    def unavailable(self) -> str:
        """Why no container can be started here."""
        return self._why_not

    def arguments(self, command: Command, limits: Limits, name: str) -> list[str]:
        """The whole `docker run` call for `command` in a container called `name`."""
        arguments = [self.client, "run", "--rm", f"--name={name}", "--network=none", "--pull=never"]
        arguments += ["--security-opt=no-new-privileges", "--cap-drop=ALL", f"--pids-limit={limits.processes * 16}"]
        arguments += [f"--ulimit=fsize={int(limits.output_mib * 2**20)}", "--ulimit=core=0", "--init"]
        if limits.memory_mib:
            arguments += [f"--memory={int(limits.memory_mib)}m", f"--memory-swap={int(limits.memory_mib)}m"]
        # Files that a root of the container makes could not be removed by another user afterwards.
        arguments += [f"--user={os.getuid()}:{os.getgid()}", "-e", "HOME=/root"]
        for private, inside in (("tmp", "/tmp"), ("home", "/root")):  # noqa: S108
            arguments += ["-v", f"{command.folder / private}:{inside}"]
        for mount in command.mounts:
            arguments += ["-v", f"{mount.host}:{mount.inside}:{'rw' if mount.writable else 'ro'}"]
        for variable, value in command.env.items():
            arguments += ["-e", f"{variable}={value}"]
        return [*arguments, "-w", command.cwd, self.image, *command.argv]

    def start(self, command: Command, limits: Limits) -> Supervised:
        """Start it in a new container."""
        name = f"podium-{uuid.uuid4().hex[:12]}"
        call = self.arguments(command, limits, name)
        on_kill = [[self.client, "kill", name]]
        # The client needs the user's own variables (DOCKER_HOST, XDG_RUNTIME_DIR, contexts in HOME); the container gets none of them.
        env = dict(os.environ)
        return launch(command, limits, call, env=env, cwd=command.folder, on_kill=on_kill, measures_memory=False)
