"""From an exception of a submission to one sentence: names, versions and paths that the server has otherwise than this machine."""

import dataclasses
import sys

import pytest

from build.score.environment import ServerEnvironment
from build.score.explain import Seen, explain


@pytest.mark.parametrize(
    ("error", "message", "says"),
    [
        ("FileNotFoundError", "[Errno 36] File name too long: '{}'", "is not in the zip"),
        ("ModuleNotFoundError", "No module named '{}'", "is not installed"),
    ],
)
def test_a_name_longer_than_a_file_s_can_be_is_explained(tmp_path, error, message, says):
    (tmp_path / "folder").mkdir()
    name = "a" * 300
    sentence, remedy = explain(Seen("predict", error, message.format(name), "model.py", "3", tmp_path, None))
    assert name in sentence
    assert says in sentence
    assert remedy


@pytest.mark.parametrize(
    "message",
    [
        "`np.Inf` was removed in the NumPy 2.0 release. Use `np.inf` instead.",
        "module 'numpy' has no attribute 'Inf'",
    ],
)
def test_a_name_that_only_the_older_numpy_of_the_server_has_is_said_to_be_that(tmp_path, message):
    server = ServerEnvironment.read()
    seen = Seen("import", "AttributeError", message, "model.py", "3", tmp_path, server)
    sentence, remedy = explain(seen)
    assert sentence == (
        f"model.py, line 3, uses numpy.Inf, which this machine's numpy has not; the server's {server.certain['numpy']} may have it."
    )
    assert "nox -s compat" in remedy
    assert (
        explain(dataclasses.replace(seen, environment=dataclasses.replace(server, certain={"numpy": "2.1.0"}))) is None
    )


def test_a_module_that_this_python_has_no_longer_is_said_to_be_on_the_server(tmp_path, monkeypatch):
    seen = Seen(
        "import",
        "ModuleNotFoundError",
        "No module named 'distutils'",
        "model.py",
        "1",
        tmp_path,
        ServerEnvironment.read(),
    )
    monkeypatch.setattr(sys, "version_info", (3, 13, 1))
    assert "which the server's Python 3.11 has and this machine's 3.13 no longer" in explain(seen)[0]
    cgi = dataclasses.replace(seen, message="No module named 'cgi'")
    assert "Python 3.11 has" in explain(cgi)[0]
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    assert "neither in the zip nor known to be on the server" in explain(cgi)[0]
