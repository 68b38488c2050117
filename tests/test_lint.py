import dataclasses
import importlib
import sys
import tracemalloc
import zipfile

import pytest
from linted_zips import CLASS, SERVER, linted
from submissions import GOOD, array, model, pack

from build.processes import ROOT
from build.score.lint import RUN_CANNOT_SHOW, lint
from build.score.lint.newer import nested_quote
from build.score.lint.standard_library import FIRST_PYTHON


def test_errors_come_first(tmp_path):
    found = linted(tmp_path, {"model.py": "import scipy, requests, torch" + CLASS})
    assert [severity for _, severity, _ in found] == ["error", "warning", "note"]


def test_what_is_to_be_uploaded_from_this_repository_has_no_finding(tmp_path):
    paths = [ROOT / "model.py", *sorted((ROOT / "submission").glob("*.py"))]
    assert linted(tmp_path, {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in paths}) == []


def test_the_library_s_newer_names_are_those_that_this_python_has_or_lacks(tmp_path):
    for name, first in FIRST_PYTHON.items():
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute) == (sys.version_info[:2] >= first), name
    text = "from typing import ReadOnly, override" + CLASS
    server = dataclasses.replace(SERVER, python=(3, 12))
    (found,) = lint(pack(tmp_path / "submission.zip", {"model.py": text}), server)
    assert found.message == "typing.ReadOnly is newer than the server's Python 3.12."


def test_syntax_newer_than_the_server_is_told_apart_from_no_syntax_at_all(tmp_path):
    old = dataclasses.replace(SERVER, python=(3, 9))
    text = "def f(x):\n    match x:\n        case 1:\n            pass\n" + CLASS
    assert linted(tmp_path, {"model.py": text}, old) == [("newer-python", "error", "model.py:2")]
    assert "newer-python" in RUN_CANNOT_SHOW
    assert linted(tmp_path, {"model.py": text}, SERVER) == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python takes such a text for a syntax error itself")
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a = 1\nx = f"{d["a"]}"', 2), ("x = f\"{'\\n'.join(a)}\"", 1), ('x = f"{a # c\n}"', 1), ('x = f"{\na}"', 1),
        ("x = f\"{f'{a}\\n'}\"", 1), ("x = f\"{f'say \"hi\"'}\"", 1), ('x = f"{a \\\n+ 1}"', 1), ("x = f\"{f'''\n'''}\"", 1),
        ('x = f"{f\'\'\'{(a,\n1)}\'\'\'}"', 1), ('x = f"a\\\nb{a}"', 0), ("x = f'''{f\"a\"}\n{f\"{a}\"}'''", 0),
        ("x = f\"{d['a']}\"", 0), ('x = f"""{d["a"]}\n{\na}"""', 0), ('x = f"{a:>{w}}\\n" + "q"', 0),
    ],
)  # fmt: skip
def test_an_f_string_that_holds_its_own_quotes_needs_python_3_12(text, line):
    assert nested_quote(text.encode()) == line


def test_another_description_of_the_server_gives_other_findings(tmp_path):
    server = dataclasses.replace(SERVER, certain=SERVER.certain | {"torch": "2.4", "tf_keras": "2.17"}, absent={})
    text = "import torch, os\nos.environ['TF_USE_LEGACY_KERAS'] = '1'"
    assert linted(tmp_path, {"model.py": text + CLASS}, server) == []


def test_weights_without_metadata_are_noted_where_they_are_large(tmp_path):
    members = {"model.py": GOOD, "w.bin": bytes(range(256)) * 220_000}
    assert linted(tmp_path, members) == [("copied-weights", "note", "")]
    assert linted(tmp_path, members | {"metadata": ""}) == [("keeps-weights", "note", "metadata")]


def test_weights_are_not_read_into_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "inner.keras", "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.4.1"}')
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(80 * 2**20))
    path = pack(tmp_path / "z.zip", {"model.py": GOOD, "w.keras": (tmp_path / "inner.keras").read_bytes()})
    tracemalloc.start()
    assert [finding.rule for finding in lint(path, SERVER)] == ["copied-weights"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 2**20  # zipfile seeks in steps of 16 MiB


@pytest.mark.parametrize(
    "text", ["(" * 5000 + ")" * 5000, "-" * 20_000 + "1", "x" + ".a" * 20_000, "x = " + "1+" * 20_000 + "1"]
)
def test_a_source_nested_beyond_all_bounds_does_not_stop_the_lint(text, tmp_path):
    found = lint(pack(tmp_path / "z.zip", {"model.py": text}), SERVER)
    assert {finding.rule for finding in found} <= {"syntax", "deep-source", "no-class", "undefined-name"}


def test_a_long_chain_of_functions_that_nobody_calls_does_not_stop_the_lint(tmp_path):
    chain = "".join(f"def f{n}():\n    f{n + 1}()\n" for n in range(10_000))
    found = linted(tmp_path, {"model.py": f"{chain}def f10000():\n    lost\n" + CLASS})
    assert found == [("undefined-name", "warning", "model.py:20002")]


def test_a_finding_is_one_printable_line(tmp_path):
    found = lint(pack(tmp_path / "z.zip", {"model.py": model(), "a\x1b[2J\n\\b": "x"}), SERVER)
    assert [finding.rule for finding in found] == ["backslash"]
    assert found[0].message.isprintable()
    assert found[0].file.isprintable()


@pytest.mark.parametrize("name", ["Weights/w.npy", "weights\\\\w.npy", "./weights/W.npy"])
def test_a_file_that_is_in_the_zip_but_for_capitals_or_backslashes_is_named(name, tmp_path):
    members = {"model.py": f"import numpy as np\nx = np.load('{name}')" + CLASS, "weights/w.npy": array(1)}
    (found,) = lint(pack(tmp_path / "z.zip", members), SERVER)
    assert (found.rule, found.severity, found.line) == ("missing-file", "error", 2)
    assert "but the zip has it as 'weights/w.npy'" in found.message
