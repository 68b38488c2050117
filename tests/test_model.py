"""model.py as the server uses it: beside `submission/` and `weights.npz`, the repository nowhere in sight."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from submission import weights
from submission.contract import CLASSES, IMAGE_SHAPE
from submission.network import build, complete, variables

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = """
import json, pickle, sys, types
import numpy as np
sys.modules["submission"] = types.ModuleType("submission")  # the name is taken by somebody else's code
sys.path.insert(0, sys.argv[1])
from model import Model
result = {}
try:
    model = Model()
    for dtype in ("uint8", "float32"):
        for n in (0, 1, 3):
            labels = model.predict(np.random.default_rng(0).integers(0, 256, (n, 96, 96, 3)).astype(dtype))
            assert labels.dtype == np.int64 and labels.shape == (n,), (labels.dtype, labels.shape)
            result[f"{dtype} {n}"] = labels.tolist()
    three = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3))
    result["pickled"] = pickle.loads(pickle.dumps(model)).predict(three).tolist()  # for another process
    try:
        model.predict(np.zeros((2, 64, 64, 3)))
    except ValueError as error:
        result["shape"] = str(error)
except ValueError as error:
    result["error"] = str(error)
result["files"] = sorted({m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)})
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def submission(tmp_path_factory) -> Path:
    """A folder as the server unpacks it."""
    folder = (
        tmp_path_factory.mktemp("server") / "submission dir"
    )  # a blank in the name, as on Codabench's Windows hosts
    folder.mkdir()
    shutil.copy(ROOT / "model.py", folder)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "submission", folder / "submission", ignore=ignore)
    spec = {"network": "custom-cnn", "filters": 4, "classes": len(CLASSES), "image_shape": list(IMAGE_SHAPE)}
    spec = complete(spec)
    arrays = {name: variable.numpy() for name, variable in variables(build(spec)).items()}
    weights.save(folder / "weights.npz", arrays, {"spec": spec}, storage="float16")
    return folder


def run(folder: Path, elsewhere: Path) -> dict:
    """What the program says in a process of its own, in another working directory."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-I", "-c", PROGRAM, str(folder)]
    done = subprocess.run(
        command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_it_predicts_from_another_folder_and_reads_nothing_of_the_repository(submission, tmp_path):
    result = run(submission, tmp_path)
    assert "error" not in result, result["error"]
    assert result["uint8 3"] == result["float32 3"]
    assert result["uint8 1"] == result["uint8 3"][:1]
    assert result["uint8 0"] == []
    assert result["pickled"] == result["uint8 3"]
    assert "(n, 96, 96, 3), got (2, 64, 64, 3)" in result["shape"]
    assert not [name for name in result["files"] if Path(name).is_relative_to(ROOT / "submission")]
    assert not [name for name in result["files"] if Path(name).is_relative_to(ROOT / "build")]
    assert str(submission / "submission" / "inference.py") in result["files"]


def test_two_submissions_in_one_process_do_not_see_each_others_code(submission, tmp_path):
    import importlib.util

    other = tmp_path / "other"
    shutil.copytree(submission, other)
    names = ", ".join(f'"{number}"' for number in range(8))
    contract = other / "submission" / "contract.py"
    contract.write_text(contract.read_text().replace("CLASSES = (", f"CLASSES = ({names})\nOLD = ("))
    found = []
    for folder in (submission, other):
        spec = importlib.util.spec_from_file_location(f"model_{folder.name.replace(' ', '_')}", folder / "model.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append(module.shipped("contract").CLASSES[0])
        assert module.Model().predict(np.zeros((1, *IMAGE_SHAPE), np.uint8)).shape == (1,)
    assert found == [CLASSES[0], "0"]


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def restated(path: Path, change) -> None:
    """A sound file with another header: `change` gets it as a dict."""
    with np.load(path) as file:
        members = {name: file[name] for name in file.files}
    header = json.loads(members["header"].tobytes())
    change(header)
    np.savez(path, **members | {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)})


def resaved(path: Path, **changes) -> None:
    """The same arrays under another spec, checksum and all."""
    arrays, meta = weights.load(path)
    weights.save(path, arrays, {**meta, "spec": meta["spec"] | changes}, storage="float16")


def flipped(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 0x10
    path.write_bytes(content)


DAMAGES = {
    "missing": (lambda path: path.unlink(), "There is no weights file"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged"),
    "cut in half": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "is damaged"),
    "cut by a byte": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is damaged"),
    "a bit near its start": (lambda path: flipped(path, 0.1), "is damaged"),
    "a bit in its middle": (lambda path: flipped(path, 0.5), "is damaged"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "There is no weights file"),
    "text": (lambda path: path.write_text("weights"), "is damaged or not one of ours"),
    "foreign": (lambda path: np.savez(path, kernel=np.zeros(3)), "not one of ours"),
    "pickles": (
        lambda path: np.savez(path, header=np.array([Trap(path.with_name("sprung"))], object)),
        "not one of ours",
    ),
    "a newer format": (
        lambda path: restated(path, lambda header: header.update(format=99)),
        "has format 99, this code reads",
    ),
    "a changed header": (
        lambda path: restated(path, lambda header: header["meta"].update(views=8)),
        "match its checksum",
    ),
    "a wrong checksum": (
        lambda path: restated(path, lambda header: header.update(sha256="0" * 64)),
        "match its checksum",
    ),
    "another network": (lambda path: resaved(path, filters=8), "of another network than its spec says"),
    "an unknown network": (lambda path: resaved(path, network="resnet"), "does not say which network it holds"),
    "other classes": (lambda path: resaved(path, classes=5), "for 5 classes"),
    "another image": (lambda path: resaved(path, image_shape=[64, 64, 3]), "images [64, 64, 3]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_weights_that_cannot_be_used_are_one_sentence(submission, damage, tmp_path):
    import importlib.util

    folder = tmp_path / "damaged"
    shutil.copytree(submission, folder)
    path = folder / "weights.npz"
    break_it, sentence = DAMAGES[damage]
    break_it(path)
    spec = importlib.util.spec_from_file_location(f"model_{damage.replace(' ', '_')}", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        module.Model()
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert not (folder / "sprung").exists()
