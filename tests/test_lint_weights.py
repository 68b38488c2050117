"""Files that a newer Keras wrote: an error where the source may load them whole, and which layers the server's Keras refuses."""

import json
import zipfile

import pytest
from linted_zips import CLASS, LOADS, SERVER, linted
from submissions import GOOD, hdf5, keras_file, pack

from build.score.lint import lint

HOME = "import os, joblib, keras, pathlib\nHERE = pathlib.Path(__file__).parent\nnet = keras.Sequential()\n"


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("net = keras.models.load_model(HERE / 'w.keras')", "error"),
        ("W = HERE / 'w.keras'\nnet = keras.models.load_model(W)", "error"),
        ("W = HERE / 'w.keras'\nnet.load_weights(W)\nother = keras.models.load_model(W)", "error"),
        ("def load(path=HERE / 'w.keras'):\n    net.load_weights(path)\nload()", "error"),  # where it goes is not seen
        ("net = keras.models.load_model(HERE / f'{net.name}.keras')", "error"),
        ("'Loads w.keras.'\n# load_model('w.keras')", "warning"),
        ("def f():\n    'Loads w.keras.'\nf()", "warning"),
        ("net.load_weights(HERE / 'w.keras')", "warning"),
        ("net.load_weights(filepath=os.path.join(HERE, 'w.keras'))", "warning"),
        ("W = str(HERE / 'w.keras')\nprint(f'reads {W}')\nif os.path.exists(W):\n    net.load_weights(W)", "warning"),
        ("W = 'w.keras'\nif not (HERE / W).exists():\n    raise OSError(f'no {W}')\nnet.load_weights(HERE / W)", "warning"),
        ("for name in ('w.keras', 'v.keras'):\n    net.load_weights(HERE / name)", "warning"),
        ("def load():\n    path = HERE / 'w.keras'\n    net.load_weights(path)\nload()\nx = os.path.sep", "warning"),
        ("class Net:\n    W = HERE / 'w.keras'\n    def __init__(self):\n        net.load_weights(self.W)", "warning"),
        ("class Net:\n    def __init__(self):\n        self.w = 'w.keras'\n        net.load_weights(self.w)", "warning"),
        ("try:\n    net = keras.models.load_model(HERE / 'w.keras')\nexcept Exception:\n    net = None", "warning"),
        ("if keras.__version__ > '3.13':\n    net = keras.models.load_model(HERE / 'w.keras')", "warning"),
        ("W = HERE / 'w.keras'\nif keras.__version__ > '3.13':\n    net = keras.models.load_model(W)", "warning"),
        ("if os.path.exists('/content'):\n    net = keras.models.load_model(HERE / 'w.keras')", "warning"),
        ("if os.path.exists('/app/program'):\n    net = keras.models.load_model(HERE / 'w.keras')", "error"),
        ("def unused():\n    return keras.models.load_model(HERE / 'w.keras')", "warning"),
        ("net = joblib.load(HERE / 'new-w.keras')", "warning"),  # another file
    ],
)  # fmt: skip
def test_a_file_of_a_newer_keras_fails_only_what_may_load_it_whole(text, severity, tmp_path):
    members = {"model.py": HOME + text + CLASS, "w.keras": keras_file("99.1")}
    found = [finding for finding in linted(tmp_path, members) if finding[0] == "newer-keras"]
    assert found == [("newer-keras", severity, "w.keras")]


def test_a_file_s_name_is_followed_through_the_modules_of_a_zip(tmp_path):
    members = {
        "model.py": "import net, paths\nnet.net.load_weights(paths.WEIGHTS)" + CLASS,
        "w.keras": keras_file("99.1"),
    }
    members |= {"net.py": "import keras\nnet = keras.Sequential()", "paths.py": "WEIGHTS = 'w.keras'"}
    assert linted(tmp_path, members) == [("newer-keras", "warning", "w.keras")]
    members["net.py"] += "\nimport paths\nnet = keras.models.load_model(paths.WEIGHTS)"
    assert linted(tmp_path, members) == [("newer-keras", "error", "w.keras")]


def test_names_that_stand_for_each_other_many_times_do_not_stop_the_lint(tmp_path):
    chain = "".join(f"v{n} = v{n - 1} + v{n - 1}\n" for n in range(1, 3000))
    members = {"model.py": f"v0 = 'w.keras'\n{chain}" + CLASS, "w.keras": keras_file("99.1")}
    assert linted(tmp_path, members) == [("newer-keras", "error", "w.keras")]


def holding(name, config, module="keras.layers"):
    """The config of a model that holds this layer."""
    layer = {"module": module, "class_name": name, "config": config}
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "net", "layers": [layer]}}


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (("RandomFlip", {"mode": "horizontal", "data_format": "channels_last"}), "RandomFlip with 'data_format'"),
        (("RandomContrast", {"factor": 0.2, "value_range": [0, 255]}), "RandomContrast with 'value_range'"),
        (("Resizing", {"height": 8, "width": 8, "antialias": False}), "Resizing with 'antialias'"),
        (("RandAugment", {}), "RandAugment"),
        (("TimeDistributed", {"layer": holding("ZeroPadding1D", {"data_format": None})}), "ZeroPadding1D with 'data_format'"),
        (("RandomFlip", {"mode": "horizontal"}), ""),
        (("CenterCrop", {"height": 8, "width": 8, "data_format": "channels_last"}), ""),
        (("RandomFlip", {"data_format": "channels_last"}, "blocks"), ""),
    ],
)  # fmt: skip
def test_a_layer_that_the_server_s_keras_refuses_is_named(held, says, tmp_path):
    config = holding(*held)
    for name, file in (
        ("w.keras", keras_file("3.11.3", config)),
        ("w.h5", hdf5(keras_version="3.11.3", model_config=json.dumps(config))),
    ):
        text = GOOD + LOADS.replace("w.keras", name)
        (found,) = lint(pack(tmp_path / "z.zip", {"model.py": text, name: file}), SERVER)
        assert (found.rule, found.severity) == ("newer-keras", "error" if says else "warning")
        if says:
            holds = f"{name}, written by Keras 3.11.3, holds {says}"
            assert found.message == f"{holds}; the server's Keras 3.4.1 cannot load that."
            assert "augmentation" in found.remedy
            (found,) = lint(pack(tmp_path / "z.zip", {"model.py": GOOD, name: file}), SERVER)
            assert found.severity == "warning"


def test_a_file_that_fails_anyway_is_not_told_by_its_layers(tmp_path):
    config = holding("RandAugment", {})
    members = {"model.py": GOOD + LOADS, "w.keras": keras_file("99.1", config)}
    (found,) = lint(pack(tmp_path / "z.zip", members), SERVER)
    assert found.message == "w.keras was written by Keras 99.1; the server's Keras 3.4.1 cannot load it."


def test_a_config_nested_beyond_all_bounds_does_not_stop_the_lint(tmp_path):
    with zipfile.ZipFile(tmp_path / "inner.keras", "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.11.3"}')
        archive.writestr("config.json", "[" * 200_000 + "]" * 200_000)
    members = {"model.py": GOOD + LOADS, "w.keras": (tmp_path / "inner.keras").read_bytes()}
    assert linted(tmp_path, members) == [("newer-keras", "warning", "w.keras")]
