"""The programs run by the interpreter that is asked for, and the sandbox is shown what that needs and nothing of the repository."""

import sys
from pathlib import Path

import pytest

from build.processes import ROOT
from build.score.sandbox.interpreter import Interpreter


@pytest.mark.parametrize(
    "word", ["python", "python3", "python3.11", "/usr/bin/python3", "/opt/conda/bin/python", "/usr/local/bin/python"]
)
def test_python_however_it_is_spelt_becomes_the_interpreter(word):
    found = Interpreter.of()
    assert found.run_by((word, "-u", "x.py")) == (str(found.executable), "-u", "x.py")


@pytest.mark.parametrize("word", ["sh", "python2", "/app/program/python", "./python3", "python3x", "pythonic"])
def test_other_commands_stay(word):
    assert Interpreter.of().run_by((word, "x")) == (word, "x")
    assert Interpreter.of().run_by(()) == ()


def test_the_folders_hold_the_interpreter_its_library_and_its_packages_but_not_the_repository():
    found = Interpreter.of()
    for place in (sys.prefix, sys.base_prefix, Path(json_file()).parent):
        assert any(Path(place).is_relative_to(folder) for folder in found.folders), place
    assert not any(ROOT.is_relative_to(folder) for folder in found.folders if folder != Path("/usr"))
    inner = [(a, b) for a in found.folders for b in found.folders if a != b and a.is_relative_to(b)]
    assert inner == []


def json_file() -> str:
    import json

    return json.__file__
