"""The container engine is called as the worker calls it, with the limits on top. No engine is needed: its client is a script here."""

import itertools
import os
import sys
from pathlib import Path

import bundles
import pytest

from build.errors import UserError
from build.score.sandbox import Command, Limits, Mount, engine, run_together
from build.score.sandbox.docker import Docker

CLIENT = """#!{python}
import os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "calls"), "a") as file:
    file.write(repr(sys.argv[1:]) + "\\n")
if sys.argv[1:3] == ["image", "inspect"]:
    sys.exit(0 if sys.argv[3] == "image:1" else 1)
if sys.argv[1] == "run":
    print("container was here", flush=True)
    time.sleep({seconds})
    sys.exit({code})
if sys.argv[1] == "kill":
    time.sleep(0.5)  # an engine takes its time
    open(os.path.join(here, "killed-" + sys.argv[2]), "w").close()
"""


def client(folder: Path, monkeypatch, *, seconds: float = 0, code: int = 0) -> None:
    """Put a docker that notes its calls at the front of PATH."""
    folder.mkdir()
    (folder / "docker").write_text(CLIENT.format(python=sys.executable, seconds=seconds, code=code))
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def command(folder: Path) -> Command:
    program = bundles.write(folder / "program", {"main.py": ""})
    (folder / "output").mkdir()
    mounts = (Mount(program, "/app/program"), Mount(folder / "output", "/app/output", writable=True))
    argv = ("python3", "/app/program/main.py", "/app/output")
    return Command("ingestion", argv, mounts, folder / "containers", env={"PYTHONUNBUFFERED": "1"})


def test_the_call_is_the_workers_own_with_limits(tmp_path):
    asked = command(tmp_path)
    limits = Limits(seconds=5, memory_mib=1500, output_mib=100, processes=64)
    call = Docker("image:1", client="docker").arguments(asked, limits, "podium-1")
    assert call[:3] == ["docker", "run", "--rm"]
    options = call[: call.index("image:1")]
    for option in (
        "--name=podium-1",
        "--network=none",
        "--pull=never",
        "--security-opt=no-new-privileges",
        "--cap-drop=ALL",
        "--memory=1500m",
        "--memory-swap=1500m",
        f"--ulimit=fsize={100 << 20}",
        f"--user={os.getuid()}:{os.getgid()}",
    ):
        assert option in options
    pairs = list(itertools.pairwise(options))
    assert ("-w", "/app/program") in pairs
    assert ("-e", "PYTHONUNBUFFERED=1") in pairs
    assert not [word for word in options if "PATH=" in word or "SECRET" in word]
    assert ("-v", f"{tmp_path}/program:/app/program:ro") in pairs
    assert ("-v", f"{tmp_path}/output:/app/output:rw") in pairs
    assert ("-v", f"{tmp_path}/containers/ingestion/tmp:/tmp") in pairs
    # The image's own python, not this machine's.
    assert call[call.index("image:1") + 1 :] == ["python3", "/app/program/main.py", "/app/output"]


def test_no_memory_option_without_a_memory_limit(tmp_path):
    call = Docker("image:1", client="docker").arguments(command(tmp_path), Limits(seconds=5), "podium-1")
    assert not [word for word in call if word.startswith("--memory")]


def test_the_exit_code_and_the_logs_are_the_containers(tmp_path, monkeypatch):
    client(tmp_path / "bin", monkeypatch, code=3)
    execution = run_together(engine("docker", image="image:1"), [command(tmp_path)], Limits(seconds=20))[0]
    assert (execution.exit_code, execution.cause, execution.peak_mib) == (3, "exit", None)
    assert execution.stdout.read_text() == "container was here\n"
    assert not list((tmp_path / "bin").glob("killed-*"))


def test_a_container_is_killed_by_its_engine_at_the_time_limit(tmp_path, monkeypatch):
    client(tmp_path / "bin", monkeypatch, seconds=60)
    execution = run_together(engine("docker", image="image:1"), [command(tmp_path)], Limits(seconds=3))[0]
    assert execution.cause == "time"
    calls = (tmp_path / "bin" / "calls").read_text()
    name = calls.split("--name=")[1].split("'")[0]
    assert (tmp_path / "bin" / f"killed-{name}").exists()


def test_what_is_missing_is_said_in_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no image was named"):
        engine("docker")
    client(tmp_path / "bin", monkeypatch)
    with pytest.raises(UserError, match="image:2 is not here; run: docker pull image:2"):
        engine("docker", image="image:2")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="neither docker nor podman is installed"):
        engine("docker", image="image:1")
