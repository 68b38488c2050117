"""The sandbox shows a program what the server would show it, and nothing else of this machine."""

import signal
import socket
import sys
from pathlib import Path

import bundles
import pytest
from containers import LONG, made, needs_bwrap, on_each_engine, run, said

from build.errors import UserError
from build.score.sandbox import Command, Mount, engine, run_together
from build.score.sandbox.interpreter import Interpreter
from build.score.sandbox.plain import Plain

ROOT = Path(__file__).resolve().parent.parent


@needs_bwrap
def test_a_program_sees_the_paths_of_the_server(tmp_path):
    source = "import json, os; print(json.dumps([os.getcwd(), sorted(os.listdir('/app')), sorted(os.listdir('/'))]))"
    cwd, app, top = said(run("bwrap", tmp_path, source))
    assert cwd == "/app/program"
    assert app == ["ingested_program", "output", "program"]
    assert not {"work", "home", "mnt", "srv", "var"} & set(top)


@on_each_engine
def test_the_working_directory_is_the_program_and_the_environment_is_clean(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_USER", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    source = "import json, os; print(json.dumps([os.listdir('.'), dict(os.environ)]))"
    files, variables = said(run(name, tmp_path, source, env={"PYTHONUNBUFFERED": "1"}))
    assert files == ["main.py"]
    assert "SECRET_OF_THE_USER" not in variables
    assert variables["PYTHONUNBUFFERED"] == "1"
    assert variables["CUDA_VISIBLE_DEVICES"] == "-1"  # it hides GPUs


@on_each_engine
def test_the_exit_code_and_both_streams_come_back(name, tmp_path):
    execution = run(name, tmp_path, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (execution.exit_code, execution.cause, execution.survivors) == (3, "exit", 0)
    assert execution.stdout.read_text() == "out\n"
    assert execution.stderr.read_text() == "err\n"


@on_each_engine
def test_a_signal_is_reported_as_an_engine_does(name, tmp_path):
    execution = run(name, tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    # A process that is the first of its namespace is not ended by its own signal in every version of bubblewrap.
    assert execution.exit_code == 128 + signal.SIGSEGV


@on_each_engine
def test_a_command_that_is_not_there_is_no_crash_of_the_judge(name, tmp_path):
    program = bundles.write(tmp_path / "program", {"main.py": ""})
    command = Command("program", ("no-such-command",), (Mount(program, "/app/program"),), tmp_path / "containers")
    execution = run_together(made(name), [command], LONG)[0]
    assert execution.exit_code != 0
    assert "no-such-command" in execution.detail + execution.stderr.read_text()


@needs_bwrap
def test_the_submission_is_read_only(tmp_path):
    source = """
import json
refused = []
for path in ("/app/ingested_program/model.py", "/app/ingested_program/new", "/app/program/new", "/usr/new", "/new",
             "/etc/passwd", "/dev/new"):
    try:
        open(path, "a")
    except OSError as error:
        refused.append(path)
for path in ("/app/output/new", "/tmp/new", "/root/new", "/dev/shm/new"):
    open(path, "w").write("1")
print(json.dumps(refused))
"""
    assert len(said(run("bwrap", tmp_path, source))) == 7
    assert (tmp_path / "submission" / "model.py").read_text() == "secret = 1\n"
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["new"]


@on_each_engine
def test_tmp_and_home_are_private_and_empty(name, tmp_path):
    source = """
import json, os, tempfile
print(json.dumps([os.listdir(tempfile.gettempdir()), os.listdir(os.path.expanduser("~"))]))
open(os.path.join(tempfile.gettempdir(), "left"), "w")
"""
    before = set(Path("/tmp").iterdir())
    # A bubble shows the interpreter where it lies, which may be below either.
    known = {part for folder in Interpreter.of().folders for part in folder.parts}
    assert {name for names in said(run(name, tmp_path, source)) for name in names} <= known
    assert Path("/tmp/left") not in set(Path("/tmp").iterdir()) - before


@needs_bwrap
def test_the_repository_the_labels_and_other_processes_are_invisible(tmp_path):
    (tmp_path / "labels").write_text("secret")
    source = """
import glob, json, os, sys
hidden = [path for path in sys.argv[1:] if os.path.exists(path)]
try:
    import build
    hidden.append("build")
except ModuleNotFoundError:
    pass
print(json.dumps([hidden, len(glob.glob("/proc/[0-9]*"))]))
"""
    hidden, count = said(run("bwrap", tmp_path, source, str(ROOT / "build"), str(tmp_path / "labels")))
    assert hidden == []
    assert count <= 3


@needs_bwrap
def test_there_is_no_network(tmp_path):
    source = """
import json, socket
try:
    socket.create_connection(("127.0.0.1", int(__import__("sys").argv[1])), timeout=2)
    print(json.dumps("connected"))
except OSError as error:
    print(json.dumps("refused"))
"""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = str(server.getsockname()[1])
        assert said(run("bwrap", tmp_path, source, port)) == "refused"
        assert said(run("plain", tmp_path, source, port)) == "connected"


@needs_bwrap
def test_privileges_are_dropped(tmp_path):
    source = """
import ctypes, json
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
libc = ctypes.CDLL(None, use_errno=True)
mounted = libc.mount(b"none", b"/app/output", b"tmpfs", 0, None)
print(json.dumps([int(status["CapEff"], 16), int(status["CapPrm"], 16), int(status["NoNewPrivs"]), mounted]))
"""
    assert said(run("bwrap", tmp_path, source)) == [0, 0, 1, -1]


@needs_bwrap
def test_plain_says_what_it_does_not_isolate_and_bwrap_has_nothing_to_say():
    sentences = " ".join(engine("plain").not_isolated)
    for word in ("read this machine's files", "can write", "network", "/app"):
        assert word in sentences
    assert made("bwrap").not_isolated == ()


def test_auto_takes_plain_and_says_why_where_bwrap_does_not_work(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    chosen = engine("auto")
    assert chosen.name == "plain"
    assert "bwrap is not installed" in chosen.not_isolated[0]
    with pytest.raises(UserError, match="bwrap is not installed"):
        engine("bwrap")


def test_an_interpreter_below_a_folder_app_of_this_machine_is_started(tmp_path):
    (tmp_path / "app").symlink_to(sys.prefix, target_is_directory=True)
    chosen = Plain(Interpreter.of(tmp_path / "app" / "bin" / "python"))
    execution = run(chosen, tmp_path, "print(1)")
    assert (execution.exit_code, execution.stdout.read_text()) == (0, "1\n")


def test_an_unknown_engine_and_a_broken_interpreter_are_sentences():
    with pytest.raises(UserError, match="choose one of auto, bwrap, docker, plain"):
        engine("podman")
    with pytest.raises(UserError, match="cannot be run"):
        Interpreter.of(Path("/no/python"))


def test_without_linux_nothing_is_judged_and_no_zip_is_blamed(monkeypatch, tmp_path):
    monkeypatch.setattr("build.score.sandbox.PROC", tmp_path / "none")
    for name in ("auto", "docker", "plain"):
        with pytest.raises(UserError, match="The judge needs Linux"):
            engine(name)
