import dataclasses
import json
import sys
from pathlib import Path

import pytest

from build.errors import UserError
from build.score.environment import DEFAULT, ServerEnvironment, version

SERVER = ServerEnvironment.read()


def test_the_competitions_server_is_described_as_its_template_pins_it():
    assert (SERVER.certain["tensorflow"], SERVER.certain["keras"], SERVER.python) == ("2.17.0", "3.4.1", (3, 11))
    assert SERVER.image == "tensorflow/tensorflow:2.17.0"
    assert SERVER.keras_layers_lack["RandomFlip"] == ("data_format",)
    assert {"keras.layers.RandAugment", "numpy.unstack"} <= SERVER.later
    assert not {"keras.layers.Dense", "numpy.stack", "keras.ops.argmax", "numpy.linalg.norm"} & SERVER.later


def test_no_package_is_described_twice():
    assert not set(SERVER.certain) & set(SERVER.assumed)
    assert not SERVER.present & set(SERVER.absent)
    assert not (SERVER.present | set(SERVER.absent)) & sys.stdlib_module_names
    assert all(remedy.endswith(".") for remedy in SERVER.absent.values())


def test_a_package_is_there_assumed_absent_or_unknown():
    assert (
        SERVER.has("joblib") == SERVER.has("mpl_toolkits") == "assumed"
    )  # sklearn and matplotlib cannot be there without them
    answers = {name: SERVER.has(name) for name in ("keras", "json", "scipy", "torch", "frobnicate")}
    assert answers == {"keras": "yes", "json": "yes", "scipy": "assumed", "torch": "no", "frobnicate": "unknown"}


def test_a_module_of_the_server_s_own_library_is_there_whatever_this_python_lacks(monkeypatch):
    monkeypatch.setattr(sys, "stdlib_module_names", sys.stdlib_module_names - {"imghdr"})
    assert SERVER.has("imghdr") == "yes"  # until 3.12
    assert dataclasses.replace(SERVER, python=(3, 13)).has("imghdr") == "unknown"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3.15.1", (3, 15, 1)), ("2.17.0rc1", (2, 17, 0)), ("", ()), ("dev", ()), ("3.4.1.post2", (3, 4, 1))],
)
def test_versions_compare_as_numbers(text, numbers):
    assert version(text) == numbers
    assert version("3.13") > version("3.4.1")


def described(folder: Path, **changes) -> Path:
    """The default description with some values changed, or taken out where None."""
    values = json.loads(DEFAULT.read_text(encoding="utf-8")) | changes
    path = folder / "server.json"
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return path


def test_another_description_can_be_read(tmp_path):
    taken_out = dict.fromkeys(("image", "later", "keras_files_fail_from", "keras_layers_lack"))
    path = described(tmp_path, python="3.12.4", **taken_out)
    plain = dataclasses.replace(
        SERVER, python=(3, 12), image="", later=frozenset(), keras_files_fail_from="", keras_layers_lack={}
    )
    assert ServerEnvironment.read(path) == plain


@pytest.mark.parametrize(
    "changes",
    [
        {"python": None},
        {"python": "three"},
        {"certain": None},
        {"absent": ["torch"]},
        {"later": {"numpy": 3}},
        {"later": []},
        {"keras_layers_lack": ["RandomFlip"]},
        {"working_directory": "home"},
    ],
)
def test_what_is_no_description_is_refused_in_one_sentence(changes, tmp_path):
    path = described(tmp_path, **changes)
    with pytest.raises(UserError, match="is no description of a server environment") as raised:
        ServerEnvironment.read(path)
    assert "\n" not in str(raised.value)


def test_a_missing_or_garbled_file_is_refused(tmp_path):
    (tmp_path / "x.json").write_bytes(b"\xff{")
    for path in (tmp_path / "none.json", tmp_path / "x.json", tmp_path):
        with pytest.raises(UserError, match=r"take server_environment\.json as a pattern"):
            ServerEnvironment.read(path)
