"""From an exception of a submission to one sentence: names, versions and paths that the server has otherwise than this machine."""

import dataclasses
import sys

import pytest

from build.score.environment import ServerEnvironment
from build.score.explain import explain
from build.score.programs import podium_loading
from build.score.seen import Seen


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


H5 = "Unable to synchronously open file (unable to open file: name = '{}', errno = {}, error message = '{}', flags = 0, o_flags = 0)"
WRAPPED = (
    "<class 'keras.src.models.functional.Functional'> could not be deserialized properly. config={} Exception encountered: "
    "Could not locate class 'Patches'. Make sure custom classes are decorated with `@keras.saving.register_keras_serializable()`. "
    "Full object config: {{'module': {}, 'class_name': 'Patches', 'config': {{}}}}"
)


@pytest.mark.parametrize(
    ("stage", "error", "message", "says", "advises"),
    [
        (
            "init",
            "FileNotFoundError",
            H5.format("/content/drive/best.weights.h5", 2, "No such file or directory"),
            "model.py, line 7, opens '/content/drive/best.weights.h5', a path of another machine.",
            "Put the file into the zip",
        ),
        (
            "predict",
            "OSError",
            H5.format("cache.h5", 30, "Read-only file system"),
            "model.py, line 7, writes 'cache.h5'",
            "tempfile",
        ),
        (
            "init",
            "ValueError",
            "File not found: filepath=model.keras. Please ensure the file is an accessible `.keras` zip file.",
            "opens 'model.keras' relative to the working directory",
            "Path(__file__).parent / 'model.keras'",
        ),
        ("import", "ImportError", "attempted relative import with no known parent package", "imports by a leading dot", "without the dots"),
        ("init", "ImportError", "Keras cannot be imported. Check that it is installed.", "TF_USE_LEGACY_KERAS asks", "import keras"),
        ("init", "TypeError", WRAPPED.format("{'layers': 1}", "'custom'"), "needs Patches, which Keras was not", "custom_objects"),
        ("init", "TypeError", WRAPPED.format("{'layers': 1}", "'keras.layers'"), "that this Keras cannot read", "Keras version"),
        (
            "init", "TypeError",
            "Error when deserializing class 'Dense' using config={'a': 1}. Exception encountered: Unrecognized keyword arguments: ['a']",
            "that this Keras cannot read", "Keras version",
        ),
    ],
)  # fmt: skip
def test_what_libraries_say_is_explained(tmp_path, stage, error, message, says, advises):
    (tmp_path / "model.keras").touch()
    sentence, remedy = explain(Seen(stage, error, message, "model.py", "7", tmp_path, ServerEnvironment.read()))
    assert says in sentence
    assert advises in remedy


@pytest.mark.parametrize(
    ("stage", "error", "message"),
    [
        ("predict", "TypeError", "TensorFlowTrainer.predict() got an unexpected keyword argument 'workers'"),
        ("init", "TypeError", "Net.__init__() missing 1 required positional argument: 'classes'"),
        ("init", "ValueError", "Unrecognized keyword arguments passed to Dense: {'activaton': 'softmax'}"),
        ("predict", "AttributeError", "module 'numpy' has no attribute 'float'. `np.float` was a deprecated alias for the builtin"),
    ],
)  # fmt: skip
def test_what_its_own_message_explains_best_is_left_to_it(tmp_path, stage, error, message):
    assert explain(Seen(stage, error, message, "model.py", "7", tmp_path, ServerEnvironment.read())) is None


def test_a_long_message_of_keras_is_told_from_its_cause_on():
    error = TypeError(WRAPPED.format("x" * 5000, "'custom'"))
    told = podium_loading.described(error, "init", "/nowhere").record["message"]
    assert told.startswith("Could not locate class 'Patches'.")
    assert "'module': 'custom'" in told
    assert len(told) == podium_loading.LONGEST
    assert podium_loading.described(ValueError("short"), "init", "/nowhere").record["message"] == "short"


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


UNLOCATED = (
    "Could not locate {} '{}'. Make sure custom classes and functions are decorated with "
    "`@keras.saving.register_keras_serializable()`. If they are already decorated, make sure they are all imported so that the "
    "decorator is run before trying to load them. Full object config: {{'module': '{}', 'class_name': 'Scale', 'config': {{}}}}"
)
LAMBDA = (
    "Requested the deserialization of a `Lambda` layer whose `function` is a Python lambda. This carries a potential risk of "
    "arbitrary code execution and thus it is disallowed by default."
)


@pytest.mark.parametrize(
    ("message", "files", "says", "advises"),
    [
        (UNLOCATED.format("class", "Scale", "blocks"), ["blocks.py"], "needs Scale of the zip's blocks", "custom_objects"),
        (UNLOCATED.format("class", "Scale", "net.blocks"), ["net/blocks.py"], "the zip's net.blocks", "custom_objects"),
        (UNLOCATED.format("function", "halve", "net"), ["net/__init__.py"], "needs halve of the zip's net", "custom_objects"),
        (LAMBDA, ["w.h5"], "holds a Lambda layer", "safe_mode=False"),
    ],
)  # fmt: skip
def test_what_only_a_newer_keras_refuses_is_said_to_load_on_the_server_perhaps(tmp_path, message, files, says, advises):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    server = ServerEnvironment.read()
    seen = Seen("init", "TypeError", message, "model.py", "7", tmp_path, server)
    sentence, remedy = explain(seen)
    assert says in sentence
    assert "this machine's Keras" in sentence
    assert "the server's 3.4.1 may load it" in sentence
    assert advises in remedy
    assert "nox -s compat -- ZIP --only 2.17" in remedy
    newer = dataclasses.replace(server, certain=server.certain | {"keras": "3.12.0"})
    told = explain(dataclasses.replace(seen, environment=newer))
    assert told is None or "may load it" not in told[0]


@pytest.mark.parametrize(
    ("message", "files"),
    [
        (UNLOCATED.format("class", "Scale", "blocks"), ["other.py"]),
        (UNLOCATED.format("class", "Scale", "a" * 300), ["blocks.py"]),
        (UNLOCATED.format("function", "halve", "builtins"), ["blocks.py"]),
        (LAMBDA, ["w.keras"]),
        (LAMBDA, ["w.keras", "w.h5"]),
    ],
)
def test_what_the_server_s_keras_refuses_too_is_not_said_to_load_there(tmp_path, message, files):
    for name in files:
        (tmp_path / name).touch()
    told = explain(Seen("init", "TypeError", message, "model.py", "7", tmp_path, ServerEnvironment.read()))
    assert told is None or "may load it" not in told[0]


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


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("google.colab", "google.colab, which the server does not have"),
        ("keras.utils.np_utils", "keras.utils.np_utils, which this machine's keras does not have"),
        ("sklearn", "sklearn, which the server is said to have, but which is not installed here"),
    ],
)
def test_a_module_that_an_installed_package_lacks_is_no_package_to_install(tmp_path, name, says):
    message = f"No module named {name!r}"
    seen = Seen("import", "ModuleNotFoundError", message, "model.py", "1", tmp_path, ServerEnvironment.read())
    sentence, remedy = explain(seen)
    assert says in sentence
    assert ("install" in remedy) == (name == "sklearn")


@pytest.mark.parametrize("folder", ["{0}", "/x/app/ingested_program", "/x/task-0/prediction-submission"])
def test_a_file_that_is_missing_in_the_submission_s_own_folder_is_no_path_of_another_machine(tmp_path, folder):
    message = f"[Errno 2] No such file or directory: '{folder.format(tmp_path)}/weights/w.npy'"
    seen = Seen("init", "FileNotFoundError", message, "model.py", "7", tmp_path, ServerEnvironment.read())
    assert explain(seen)[0] == "model.py, line 7, opens 'weights/w.npy', which is not in the zip."


def test_a_package_model_beside_model_py_is_said_to_be_what_python_imports(tmp_path):
    seen = Seen("import", "no-class", "", "model.py", "0", tmp_path, ServerEnvironment.read())
    assert explain(seen)[0] == "model.py has no class Model."
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "__init__.py").touch()
    assert "imports the package model/ and not the model.py beside it" in explain(seen)[0]


def told_of(tmp_path, line, error, message):
    """What an exception is told as that the third line of model.py raised."""
    (tmp_path / "model.py").write_text(f"\n\n{line}\n")
    return explain(Seen("import", error, message, "model.py", "3", tmp_path, ServerEnvironment.read()))


@pytest.mark.parametrize(
    ("line", "name", "says"),
    [
        ("subprocess.run(['nvidia-smi'])", "nvidia-smi", "starts the program 'nvidia-smi', which is not there"),
        ("x = check_output(PROGRAM)", "/usr/bin/nvidia-smi", "starts the program '/usr/bin/nvidia-smi', which is not there"),
        ("subprocess.run(['ls'], cwd='lost')", "lost", "opens 'lost', which is not in the zip"),
        ("x = self.run(np.load('w.npy'))", "w.npy", "opens 'w.npy', which is not in the zip"),
        ("x = open('labels')", "labels", "opens 'labels', which is not in the zip"),
        ("x = open('/etc/hosts')", "/etc/hosts", "not there where the judge runs it; the server may have it"),
        ("x = open('/sys/x')", "/sys/x", "not there where the judge runs it; the server may have it"),
        ("x = open('/home/me/x')", "/home/me/x", "a path of another machine"),
    ],
)  # fmt: skip
def test_a_program_and_a_file_of_the_system_are_no_files_of_the_zip(line, name, says, tmp_path):
    assert says in told_of(tmp_path, line, "FileNotFoundError", f"[Errno 2] No such file or directory: '{name}'")[0]


@pytest.mark.parametrize(("file", "line"), [("/dev/zero", "1"), ("model.py", "x"), ("model.py", "99"), ("", "")])
def test_a_record_that_names_no_line_of_the_zip_has_no_source(file, line, tmp_path):
    (tmp_path / "model.py").touch()
    assert Seen("init", "IndexError", "", file, line, tmp_path, None).source == ""


@pytest.mark.parametrize(
    ("command", "explained"),
    [
        ("['/usr/bin/python', '-m', 'pip', 'install', 'keras-cv']", True),
        ("'wget -q https://example.org/w.h5'", True),
        ("['gcc', 'fast.c']", False),
    ],
)
@pytest.mark.parametrize(
    ("error", "ends"),
    [("CalledProcessError", "returned non-zero exit status 1."), ("TimeoutExpired", "timed out after 60 seconds")],
)
def test_a_program_that_downloads_and_fails_is_told_by_the_network(command, explained, error, ends, tmp_path):
    told = told_of(tmp_path, "subprocess.check_call(COMMAND)", error, f"Command {command} {ends}")
    assert (told is not None) == explained
    if told:
        assert "the server may offer no network" in told[0]
        assert told[0].endswith(f"{ends.rstrip('.')}.")


@pytest.mark.parametrize(
    ("line", "error", "explained"),
    [
        ("tf.config.experimental.set_memory_growth(gpus[0], True)", "IndexError", True),
        ("first = tf.config.list_physical_devices('GPU')[0]", "IndexError", True),
        ("label = names[0]", "IndexError", False),
        ("label = names[device]", "IndexError", False),
        ("gpus = tf.config.lost('GPU')", "AttributeError", False),
    ],
)
def test_the_first_gpu_of_none_is_told_by_there_being_none(line, error, explained, tmp_path):
    told = told_of(tmp_path, line, error, "list index out of range")
    assert (told is not None) == explained
    assert told is None or "the judge hides GPUs, and the server may have none" in told[0]


@pytest.mark.parametrize(
    ("opened", "has", "says", "advises"),
    [
        ("{}/weights\\w.npy", "weights/w.npy", "'weights\\\\w.npy', but the zip has it as 'weights/w.npy'", "Write 'weights/w.npy'"),
        ("{}\\weights\\w.npy", "weights/w.npy", "but the zip has it as 'weights/w.npy': a backslash", "Write 'weights/w.npy'"),
        ("weights\\w.npy", "weights/w.npy", "but the zip has it as 'weights/w.npy': a backslash", "Write 'weights/w.npy'"),
        ("{}/Weights.npy", "weights.npy", "'Weights.npy', but the zip has it as 'weights.npy': the server tells capitals", "Write"),
        ("{}/weights/w.npy", "weights\\w.npy", "whose backslashes are no folder", "forward slashes"),
        ("{}/w.npy", "w.npy", "'w.npy', which is not in the zip", "Add the file"),  # it was removed since
        ("{}/w.npy", "weights/w.npy", "'w.npy', which is not in the zip", "Add the file"),
    ],
)  # fmt: skip
def test_a_file_that_is_in_the_zip_but_for_capitals_or_backslashes_is_named(opened, has, says, advises, tmp_path):
    (tmp_path / has).parent.mkdir(exist_ok=True)
    (tmp_path / has).touch()
    error = FileNotFoundError(2, "No such file or directory", opened.format("/app/ingested_program"))
    seen = Seen("init", "FileNotFoundError", str(error), "model.py", "7", tmp_path, ServerEnvironment.read())
    sentence, remedy = explain(seen)
    assert says in sentence
    assert advises in remedy
