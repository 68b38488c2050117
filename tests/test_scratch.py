"""Scratch files and folders: gone with their block, or with the next of their kind where their process was killed, and never before."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from build import scratch
from build.files import check_writable, write_text
from build.scratch import scratch_folder

ROOT = Path(__file__).resolve().parent.parent
KINDS = {
    "folder": "scratch_folder(Path('.'), '.making-')",
    "file": "atomic(Path('page.html'))",
}
PROGRAM = """
import sys
from pathlib import Path
from build.files import atomic
from build.scratch import scratch_folder
with {kind} as made:
    if isinstance(made, Path):
        (made / "images.npy").touch()
    print("made", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Starts a process that makes a scratch folder or file in tmp_path and waits there."""
    started = []

    def start(kind: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(kind=KINDS[kind])],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "made\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def make(kind: str, folder: Path) -> None:
    if kind == "file":
        write_text(folder / "page.html", "new")
    else:
        with scratch_folder(folder, ".making-"):
            pass


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_killed_process_left_goes_with_the_next_of_its_kind(other, tmp_path, kind):
    killed, living = other(kind), other(kind)
    assert len(list(tmp_path.iterdir())) == 2
    killed.kill()
    killed.wait()
    make(kind, tmp_path)
    (left,) = (path for path in tmp_path.iterdir() if path.name != "page.html")
    living.communicate("")
    assert living.returncode == 0
    assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == (["page.html"] if kind == "file" else [])


def test_what_only_looks_alike_stays(tmp_path):
    others = {".page.html.swp", ".page.html.abcdefgh", ".making-abcdefgh"}
    for name in others:
        (tmp_path / name).touch()
    make("file", tmp_path)
    make("folder", tmp_path)
    check_writable(tmp_path / "page.html")
    assert {path.name for path in tmp_path.iterdir()} == others | {"page.html"}


def test_of_another_machine_nothing_is_swept(other, tmp_path, monkeypatch):
    """Its lock may not be seen here."""
    killed = other("folder")
    killed.kill()
    killed.wait()
    with monkeypatch.context() as patched:
        patched.setattr(scratch.os, "uname", lambda: os.uname_result(("Linux", "elsewhere", "", "", "")))
        make("folder", tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    make("folder", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_swept_before_it_was_held_is_made_again(tmp_path, monkeypatch):
    flock, lost = fcntl.flock, []

    def late(handle, how):
        if not lost:
            lost.extend(tmp_path.iterdir())
            lost[0].rmdir()
        flock(handle, how)

    monkeypatch.setattr(scratch.fcntl, "flock", late)
    with scratch_folder(tmp_path, ".making-") as made:
        assert lost
        assert list(tmp_path.iterdir()) == [made]


def test_a_folder_that_was_swept_before_it_was_opened_is_made_again(tmp_path, monkeypatch):
    opened, lost = os.open, []

    def late(path, *how):
        if not lost:
            lost.append(path)
            Path(path).rmdir()
        return opened(path, *how)

    monkeypatch.setattr(scratch.os, "open", late)
    with scratch_folder(tmp_path, ".making-") as made:
        assert lost
        assert list(tmp_path.iterdir()) == [made]
    with pytest.raises(FileNotFoundError), scratch_folder(tmp_path / "none", ".making-"):
        pass


def test_where_a_file_system_has_no_locks_nothing_is_swept_and_all_else_works(other, tmp_path, monkeypatch):
    killed = other("folder")
    killed.kill()
    killed.wait()

    def without(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(scratch.fcntl, "flock", without)
    make("folder", tmp_path)
    write_text(tmp_path / "page.html", "new")
    assert len(list(tmp_path.iterdir())) == 2
