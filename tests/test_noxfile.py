"""The noxfile: every session explains itself in one sentence and reaches the command of its name."""

import ast
import importlib.util
import re
import sys
import threading
import tomllib
import types
from pathlib import Path

import pytest

from build import cli

ROOT = Path(__file__).resolve().parent.parent
TREE = ast.parse((ROOT / "noxfile.py").read_text())
SESSIONS = {
    node.name: node
    for node in TREE.body
    if isinstance(node, ast.FunctionDef) and any("session" in ast.dump(one) for one in node.decorator_list)
}


def test_ctrl_c_leaves_a_command_its_time_and_a_failure_stops_what_follows(noxfile, monkeypatch):
    ran = []
    monkeypatch.setattr(noxfile, "prepare", lambda *_: None)
    session = types.SimpleNamespace(run=lambda *command, **options: ran.append((command, options)))
    noxfile.podium(session, "train", "--x")
    patient = {"external": True, "interrupt_timeout": None, "terminate_timeout": None}
    assert ran == [((str(noxfile.PYTHON), "-m", "build", "train", "--x"), patient)]
    assert noxfile.nox.options.stop_on_first_error is True


@pytest.mark.parametrize(("cuda", "groups"), [(True, ("run", "gpu")), (False, ("run",))])
def test_where_nvidia_s_driver_is_the_framework_s_cuda_libraries_come_along(noxfile, monkeypatch, cuda, groups):
    prepared = []
    monkeypatch.setattr(noxfile, "CUDA", cuda)
    monkeypatch.setattr(noxfile, "prepare", lambda _, *groups: prepared.append(groups))
    noxfile.podium(types.SimpleNamespace(run=lambda *_, **__: None), "train")
    assert prepared == [groups]
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert any("tensorflow[and-cuda]" in one for one in named["gpu"])


def test_every_command_has_its_session():
    assert set(cli.app.commands) | {"tests", "bench", "install"} == set(SESSIONS)


def printed(path: Path) -> list[str]:
    """The texts of a source file that are no docstrings, an f-string's values left out."""
    tree = ast.parse(path.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (
        node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in alone
    )
    parts = (node.values if isinstance(node, ast.JoinedStr) else [node] for node in texts)
    return ["".join(str(part.value) for part in all_ if isinstance(part, ast.Constant)) for all_ in parts]


@pytest.mark.parametrize("path", sorted((ROOT / "build").rglob("*.py")), ids=lambda path: path.stem)
def test_a_command_that_is_given_as_advice_can_be_pasted(path):
    """With nox before it, and for a session that there is; `run --option` alone is no command of a shell."""
    said = " ".join(printed(path))
    assert not re.findall(rf"`(?:{'|'.join(cli.app.commands)}) [^`]*--[^`]*`", said)
    assert set(re.findall(r"nox -s (\w+)", said)) <= set(SESSIONS)


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_s_docstring_is_one_sentence(name):
    text = ast.get_docstring(SESSIONS[name])
    assert "\n" not in text
    assert text.endswith(".")


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_runs_in_the_shared_environment(name):
    """A backend of its own would install TensorFlow once more for every session."""
    (decorator,) = SESSIONS[name].decorator_list
    assert {keyword.arg: keyword.value.value for keyword in decorator.keywords} == {"venv_backend": "none"}


@pytest.mark.parametrize("name", sorted(cli.app.commands))
def test_a_session_calls_the_command_of_its_name(name):
    (call,) = [
        node
        for node in ast.walk(SESSIONS[name])
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "podium"
    ]
    assert call.args[1].value == name


@pytest.fixture
def noxfile(monkeypatch, tmp_path):
    """The module, beside a stand-in for nox, with an environment in tmp_path."""
    names = ("needs_version", "options", "project", "Session")
    nox = types.SimpleNamespace(session=lambda **_: lambda function: function, **dict.fromkeys(names))
    nox.options = types.SimpleNamespace()
    pyproject = {"project": {"requires-python": ">=3.11,<3.14"}}
    nox.project = types.SimpleNamespace(load_toml=lambda _: pyproject, dependency_groups=lambda _, group: (group,))
    monkeypatch.setitem(sys.modules, "nox", nox)
    specification = importlib.util.spec_from_file_location("podium_noxfile", ROOT / "noxfile.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "ENVIRONMENT", tmp_path / "podium")
    monkeypatch.setattr(module, "PYTHON", tmp_path / "podium" / "bin" / "python")
    monkeypatch.setattr(module, "ACTIVATE", tmp_path / "podium" / "bin" / "activate")
    return module


class Session:
    """Notes the commands, makes what virtualenv makes, and waits for `rest` within each."""

    def __init__(self, module, rest: threading.Event | None = None):
        self.module, self.rest, self.commands, self.said = module, rest, [], threading.Event()

    def run(self, *command: str, **_: object) -> None:
        self.commands.append(command[2])
        if "virtualenv" in command:
            self.module.PYTHON.parent.mkdir(parents=True, exist_ok=True)
            self.module.PYTHON.touch()
            assert self.rest is None or self.rest.wait(60)
            self.module.ACTIVATE.touch()
            (self.module.ENVIRONMENT / "pyvenv.cfg").write_text("home = /usr/bin\nversion_info = 3.12.4.final.0\n")

    def error(self, sentence: str) -> None:
        raise RuntimeError(sentence)

    def log(self, _: str) -> None:
        self.said.set()


def test_two_first_calls_prepare_the_environment_one_after_the_other(noxfile, monkeypatch):
    monkeypatch.setattr(noxfile.shutil, "which", lambda _: None)
    rest = threading.Event()
    first, second = Session(noxfile, rest), Session(noxfile)
    threads = [threading.Thread(target=noxfile.prepare, args=(one, "run")) for one in (first, second)]
    threads[0].start()
    while not noxfile.PYTHON.exists():
        threads[0].join(0.01)
    threads[1].start()
    assert second.said.wait(60)
    assert second.commands == []
    rest.set()
    for thread in threads:
        thread.join(60)
    assert first.commands == ["virtualenv", "pip"]
    assert second.commands == []


def test_an_environment_that_was_stopped_midway_is_made_again(noxfile):
    noxfile.PYTHON.parent.mkdir(parents=True)
    noxfile.PYTHON.touch()
    session = Session(noxfile)
    noxfile.prepare(session)
    noxfile.prepare(session)
    assert session.commands == ["virtualenv"]


def test_a_python_that_the_packages_do_not_exist_for_is_refused_and_what_it_made_is_made_again(noxfile, monkeypatch):
    session = Session(noxfile)
    for version in ("3.10.14", "3.14.0"):
        with monkeypatch.context() as patch:
            patch.setattr(noxfile.platform, "python_version", lambda version=version: version)
            with pytest.raises(RuntimeError, match=f"nox runs under {version}: install nox"):
                noxfile.prepare(session)
    assert session.commands == []
    noxfile.prepare(session)
    (noxfile.ENVIRONMENT / "pyvenv.cfg").write_text("version_info = 3.14.0.final.0\n")
    noxfile.prepare(session)
    noxfile.prepare(session)
    assert session.commands == ["virtualenv"] * 2


def test_asking_for_help_is_no_training_whose_run_is_packaged(noxfile, monkeypatch):
    given = []
    monkeypatch.setattr(noxfile, "podium", lambda _, *command: given.append(command))
    for arguments in (["--help"], ["--data", "d.npz"]):
        session = types.SimpleNamespace(name="train", posargs=arguments)
        noxfile.train(session)
        noxfile.package(session)
    assert given == [("train", "--help"), ("package", "--help"), ("train", "--data", "d.npz"), ("package",)]


def test_an_environment_is_brought_up_to_date_where_its_requirements_change(noxfile, monkeypatch):
    monkeypatch.setattr(noxfile.shutil, "which", lambda _: None)
    session = Session(noxfile)
    for wanted in (("a",), ("a",), ("a", "b")):
        monkeypatch.setattr(noxfile.nox.project, "dependency_groups", lambda _, group, wanted=wanted: wanted)
        noxfile.prepare(session, "run")
    assert session.commands == ["virtualenv", "pip", "pip"]


@pytest.mark.parametrize(
    ("name", "arguments", "groups"),
    [
        ("sweep", [], ["run"]),
        ("sweep", ["--ray", "auto"], ["run", "sweep"]),
        ("sweep", ["--search=a", "--ray=local"], ["run", "search", "sweep"]),
        ("reproduce", ["--ray", "auto"], ["run", "sweep"]),
    ],
)
def test_options_that_need_further_packages_bring_them(noxfile, monkeypatch, name, arguments, groups):
    prepared = []
    monkeypatch.setattr(noxfile, "prepare", lambda _, *groups: prepared.append(list(groups)))
    monkeypatch.setattr(noxfile, "podium", lambda *_: None)
    session = Session(noxfile)
    session.posargs = arguments
    getattr(noxfile, name)(session)
    assert prepared == [groups]
