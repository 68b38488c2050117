"""Every limit of the sandbox kills, and nothing outlives a run, however it ends."""

import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import bundles
import pytest
from containers import FAMILY, LONG, made, nothing_is_left, on_each_engine, processes, run

from build.score.sandbox import Command, Limits, Mount, run_together
from build.score.sandbox.cgroup import MemoryGroup
from build.score.sandbox.launch import discard

ROOT = Path(__file__).resolve().parent.parent


@on_each_engine
def test_the_time_limit_kills_the_whole_family(name, tmp_path):
    token = uuid.uuid4().hex
    began = time.monotonic()
    execution = run(name, tmp_path, FAMILY + "time.sleep(60)", token, limits=Limits(seconds=4))
    assert (execution.cause, execution.exit_code) == ("time", 137)
    assert 4 <= execution.seconds < 8
    assert time.monotonic() - began < 16
    assert "started" in execution.stdout.read_text()
    assert nothing_is_left(token)


@on_each_engine
def test_a_program_that_ignores_signals_is_killed_all_the_same(name, tmp_path):
    source = """
import signal, time
for number in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True:
    time.sleep(1)
"""
    assert run(name, tmp_path, source, limits=Limits(seconds=0.8)).cause == "time"


@on_each_engine
def test_no_process_survives_a_program_that_ends(name, tmp_path):
    token = uuid.uuid4().hex
    execution = run(name, tmp_path, FAMILY, token)
    assert (execution.cause, execution.exit_code) == ("exit", 0)
    assert nothing_is_left(token)
    if name == "plain":  # elsewhere the kernel ends the namespace before anyone can count
        assert execution.survivors == 2


@on_each_engine
def test_no_process_survives_a_judge_that_is_killed(name, tmp_path):
    token = uuid.uuid4().hex
    script = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from pathlib import Path
from containers import FAMILY, run
run({name!r}, Path({str(tmp_path)!r}), FAMILY + "time.sleep(60)", {token!r})
"""
    judge = subprocess.Popen([sys.executable, "-c", script])
    try:
        log = tmp_path / "containers" / "ingestion" / "stdout"
        deadline = time.monotonic() + 30
        while not (log.is_file() and "started" in log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert processes(token)
    finally:
        judge.kill()
        judge.wait()
    assert nothing_is_left(token)


MEMORY = """
import sys, time
held = []
for _ in range(int(sys.argv[1])):
    held.append(bytearray(b"x") * (10 << 20))
    time.sleep(0.01)
print("survived")
"""


@pytest.mark.parametrize("group", [True, False], ids=["control group", "supervisor alone"])
@on_each_engine
def test_the_memory_limit_kills(name, group, tmp_path, monkeypatch):
    if not group:
        monkeypatch.setattr(MemoryGroup, "create", classmethod(lambda cls, limit: None))
    elif (made := MemoryGroup.create(100)) is None:
        pytest.skip("no control group can be made here")
    else:
        made.remove()
    limits = Limits(seconds=30, memory_mib=150)
    execution = run(name, tmp_path, MEMORY, "100", limits=limits)
    assert execution.cause == "memory"
    assert execution.exit_code == 137
    assert "survived" not in execution.stdout.read_text()
    execution = run(name, tmp_path, f"{MEMORY}time.sleep(0.3)\n", "8", limits=limits)
    assert (execution.cause, execution.exit_code) == ("exit", 0)
    assert 75 <= execution.peak_mib <= 150  # 80 MiB are held


@on_each_engine
def test_memory_of_children_counts_too(name, tmp_path, monkeypatch):
    monkeypatch.setattr(MemoryGroup, "create", classmethod(lambda cls, limit: None))
    source = f"""
import subprocess, sys
children = [subprocess.Popen([sys.executable, "-c", {MEMORY + "time.sleep(20)"!r}, "8"]) for _ in range(3)]
print([child.wait() for child in children])
"""
    assert run(name, tmp_path, source, limits=Limits(seconds=30, memory_mib=200)).cause == "memory"


@on_each_engine
def test_what_was_there_before_does_not_count_as_written(name, tmp_path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "copied").write_bytes(bytes(8 << 20))
    execution = run(name, tmp_path, "print(1)", limits=Limits(seconds=30, output_mib=5))
    assert (execution.cause, execution.exit_code) == ("exit", 0)


@on_each_engine
def test_what_is_written_deeper_than_a_path_reaches_counts_too(name, tmp_path):
    source = """
import os, sys, time
os.chdir(sys.argv[1])
for _ in range(20):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
for number in range(40):
    with open(str(number), "wb") as file:
        file.write(b"x" * (1 << 20))
"""
    output = "/app/output" if name == "bwrap" else str(tmp_path / "output")
    execution = run(name, tmp_path, source, output, limits=Limits(seconds=60, output_mib=5))
    discard(tmp_path / "output")  # deeper than Python's own functions go
    assert execution.cause == "output"


@pytest.mark.parametrize("place", ["output", "tmp", "stdout"])
@on_each_engine
def test_the_output_limit_counts_output_temporary_files_and_logs(name, place, tmp_path):
    source = """
import os, sys, tempfile, time
folder = {"output": sys.argv[2], "tmp": tempfile.gettempdir(), "stdout": None}[sys.argv[1]]
for number in range(200):
    if folder is None:
        os.write(1, b"x" * (1 << 20))
    else:
        with open(os.path.join(folder, str(number)), "wb") as file:
            file.write(b"x" * (1 << 20))
    time.sleep(0.02)
"""
    output = "/app/output" if name == "bwrap" else str(tmp_path / "output")
    limits = Limits(seconds=30, output_mib=5)
    execution = run(name, tmp_path, source, place, output, limits=limits)
    if place == "stdout":  # a single file meets its own limit first
        assert execution.exit_code == 128 + signal.SIGXFSZ or execution.cause == "output"
    else:
        assert execution.cause == "output"
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert written < 60 << 20


@on_each_engine
def test_a_fork_bomb_is_stopped(name, tmp_path):
    source = """
import os, time
for _ in range(60):
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
time.sleep(30)
"""
    execution = run(name, tmp_path, source, limits=Limits(seconds=20, processes=30))
    assert execution.cause == "processes"


@on_each_engine
def test_containers_of_one_job_run_side_by_side(name, tmp_path):
    source = """
import os, sys, time
mine, other = sys.argv[1:3]
open(os.path.join(sys.argv[3], mine), "w").close()
while not os.path.exists(os.path.join(sys.argv[3], other)):
    time.sleep(0.01)
"""
    program = bundles.write(tmp_path / "program", {"main.py": source})
    (tmp_path / "output").mkdir()
    mounts = (Mount(program, "/app/program"), Mount(tmp_path / "output", "/app/output", writable=True))
    commands = [
        Command(mine, ("python3", "main.py", mine, other, "/app/output"), mounts, tmp_path / "containers")
        for mine, other in (("one", "two"), ("two", "one"))
    ]
    assert [found.exit_code for found in run_together(made(name), commands, Limits(seconds=20))] == [0, 0]


@on_each_engine
def test_an_interrupted_judge_ends_its_containers(name, tmp_path):
    token = uuid.uuid4().hex
    program = bundles.write(tmp_path / "program", {"main.py": FAMILY + "time.sleep(60)"})
    command = Command("one", ("python3", "main.py", token), (Mount(program, "/app/program"),), tmp_path / "containers")

    def interrupt():
        if processes(token):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_together(made(name), [command], LONG, tick=interrupt)
    assert nothing_is_left(token)
