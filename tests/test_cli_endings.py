"""How a command ends: what a GPU or the system refuses, signals, and what is said then."""

import contextlib
import errno
import os
import pty
import signal
import sys
import time
from pathlib import Path

import pytest

from build import cli
from build.errors import Interrupted

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_a_full_disk_is_one_sentence_whoever_met_it(monkeypatch, capsys, number, full):
    def failing(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("build.data.prepare.prepare", failing)
    if not full:
        with pytest.raises(OSError, match="Input/output"):
            cli.main(["train"])
        return
    assert cli.main(["train"]) == 2
    assert "make room on it" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("RESOURCE_EXHAUSTED: no room"), "The device's memory does not suffice"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/home/her/r1/run.json"),
            "/home/her/r1/run.json cannot be used",
        ),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300), "aaa cannot be used (File name too long)"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), "name a folder in TMPDIR"),
    ],
)
def test_what_a_gpu_or_the_system_refuses_is_a_sentence_in_every_command(monkeypatch, capsys, error, sentence):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr("build.data.prepare.prepare", failing)
    assert cli.main(["inspect", "--quick"]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_how_to_go_on_is_said_as_it_stands_brackets_and_all(monkeypatch, capsys):
    def interrupted(**_):
        raise Interrupted("Go on with --resume 1-podium[lr=1e-3]-ab.")

    monkeypatch.setattr(cli.app, "main", interrupted)
    assert cli.main([]) == 130
    assert "--resume 1-podium[lr=1e-3]-ab." in capsys.readouterr().err


def test_a_scheduler_s_sigterm_ends_a_command_as_ctrl_c_does(monkeypatch):
    undone = []

    def work(**_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            undone.append(True)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli.app, "main", work)
    assert cli.main([]) == 130
    assert undone
    assert signal.getsignal(signal.SIGTERM) is before


IN_A_TERMINAL = """
import os, sys, time
from pathlib import Path
from build import cli
from build.console import console
from build.scratch import scratch_folder

def work(**_):
    with scratch_folder(Path("."), ".making-"):
        print("begun", flush=True)
        time.sleep(60)

cli.app.main = work
code = cli.main([])
Path("ended").write_text(str(code))
"""


@pytest.mark.filterwarnings(
    "ignore:.*is multi-threaded:DeprecationWarning"
)  # Python 3.12 and newer; the child execs at once
@pytest.mark.parametrize("ignored", [False, True])
def test_a_closed_terminal_ends_a_command_as_ctrl_c_does_unless_nohup_was_asked(tmp_path, ignored):
    process, terminal = pty.fork()
    if process == 0:
        # The tests themselves may run under nohup.
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
        os.execve(sys.executable, [sys.executable, "-c", IN_A_TERMINAL], os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        said = b""
        while b"begun\r\n" not in said:
            said += os.read(terminal, 1000)
        os.close(terminal)
        if ignored:
            time.sleep(0.5)
            assert os.waitpid(process, os.WNOHANG) == (0, 0)
            assert list(tmp_path.glob(".making-*"))
        else:
            assert os.waitpid(process, 0)[1] == 0
            assert [path.name for path in tmp_path.iterdir()] == ["ended"]
            assert Path("ended").read_text() == "130"
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def test_ctrl_c_is_exit_code_130(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt("Interrupted; go on with: nox -s train -- --resume x")

    monkeypatch.setattr("build.data.prepare.prepare", interrupted)
    assert cli.main(["inspect"]) == 130
    assert "--resume x" in capsys.readouterr().err
