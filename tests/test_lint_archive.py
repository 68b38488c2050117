"""What the lint says of a zip's files."""

import pickle

import numpy as np
import pytest
from linted_zips import LOADS, linted
from submissions import GOOD, array, hdf5, keras_file


def pickled(module: str) -> bytes:
    """A .npy file of objects, pickled by a numpy that has this module."""
    return array(np.array([{"a": np.ones(2)}], object)).replace(b"numpy._core.multiarray", module.encode())


ARCHIVES = [
    ({"submission/model.py": GOOD}, ("wrapper-folder", "error", "submission/model.py")),
    ({"a/b/model.py": GOOD}, ("wrapper-folder", "error", "a/b/model.py")),
    ({"Model.py": GOOD}, ("no-model", "error", "Model.py")),
    ({"a\\model.py": GOOD}, [("backslash", "error", "a\\model.py"), ("no-model", "error", "a\\model.py")]),
    ({"weights.npy": array(1)}, ("no-model", "error", "")),
    ({"model.py": GOOD, "model/__init__.py": ""}, ("no-class", "error", "model/__init__.py")),
    ({"model.py": GOOD, "model/__init__.py": "from .net import Model", "model/net.py": GOOD}, None),
    ({"model.py": GOOD, "model/w.npy": array(1)}, None),
    ({"model.py": GOOD, "__MACOSX/._model.py": "x"}, ("junk", "warning", "__MACOSX/._model.py")),
    ({"model.py": GOOD, "net/.DS_Store": "x"}, ("junk", "warning", "net/.DS_Store")),
    ({"model.py": GOOD, ".git/HEAD": "x"}, ("stays-home", "warning", ".git/HEAD")),
    ({"model.py": GOOD, "train.ipynb": "x"}, ("data", "note", "train.ipynb")),
    ({"model.py": GOOD, "../x": "x"}, ("escaping-path", "warning", "../x")),
    ({"model.py": GOOD, "/x": "x"}, ("escaping-path", "warning", "/x")),
    ({"model.py": GOOD, "c:/x": "x"}, ("escaping-path", "warning", "c:/x")),
    ({"model.py": GOOD, "a\\x": "x"}, ("backslash", "error", "a\\x")),
    ({"model.py": GOOD, "numpy.py": ""}, ("shadowing", "warning", "numpy.py")),
    ({"model.py": GOOD, "metadata": "command: rm"}, ("own-command", "warning", "metadata")),
    ({"model.py": GOOD, "w.h5": ""}, ("empty-weights", "error", "w.h5")),
    ({"model.py": GOOD, "w.h5": "version https://git-lfs.github.com/spec/v1\n"}, ("lfs-pointer", "error", "w.h5")),
    ({"model.py": GOOD, "w.keras": "PK"}, ("bad-keras", "error", "w.keras")),
    ({"model.py": GOOD, "w.keras": keras_file("99.1")}, ("newer-keras", "warning", "w.keras")),
    ({"model.py": GOOD + "# w.keras", "w.keras": keras_file("99.1")}, ("newer-keras", "warning", "w.keras")),
    ({"model.py": GOOD + LOADS, "w.keras": keras_file("99.1")}, ("newer-keras", "error", "w.keras")),
    ({"model.py": GOOD + LOADS, "w.keras": keras_file("3.5.0")}, ("newer-keras", "warning", "w.keras")),
    (
        {
            "model.py": "import os\n" + GOOD + "found = [f for f in os.listdir() if f.endswith('.keras')]",
            "w.keras": keras_file("99.1"),
        },
        ("newer-keras", "error", "w.keras"),
    ),
    (
        {"model.py": GOOD + "W = 'w.h5'", "w.h5": hdf5(keras_version="99.1", model_config="{}")},
        ("newer-keras", "error", "w.h5"),
    ),
    ({"model.py": GOOD, "w.h5": hdf5(keras_version="99.1", model_config="{}")}, ("newer-keras", "warning", "w.h5")),
    ({"model.py": GOOD + "W = 'w.h5'", "w.h5": hdf5(keras_version="99.1")}, None),  # weights alone
    ({"model.py": GOOD + "W = 'w.h5'", "w.h5": b"not HDF5"}, None),
    *(
        ({"model.py": GOOD + text, "w.keras": keras_file("3.4.0", {"module": module})}, expected)
        for text, module, expected in (
            (LOADS, "keras_cv.layers", ("absent-import", "error", "w.keras")),
            (LOADS, "keras_cv", ("absent-import", "error", "w.keras")),
            ("", "keras_cv.layers", ("absent-import", "warning", "w.keras")),
            (LOADS, "jax_utils", None),  # the zip's own
        )
    ),
    (
        {"model.py": GOOD, "w.keras": keras_file("3.4.0", {"class_name": "Lambda"})},
        ("lambda-layer", "warning", "w.keras"),
    ),
    ({"model.py": GOOD, "weights.npy": pickled("numpy._core.numeric")}, ("newer-numpy", "warning", "weights.npy")),
    *(
        (
            {"model.py": GOOD + f"W = {name!r}", name: pickle.dumps(np.ones(2), protocol=5)},
            ("newer-numpy", "error", name),
        )
        for name in ("w.pkl", "w.pickle", "w.joblib", "w.sav", "w.p", "w")
    ),
    ({"model.py": GOOD, "w.sav": pickle.dumps(np.ones(2), protocol=5)}, ("newer-numpy", "warning", "w.sav")),
    ({"model.py": GOOD, "w.p": "", "w.dat": b"\x80", "numbers.bin": b"\x80\x09numpy._core.numeric"}, None),
    *(
        (
            {"model.py": GOOD + text, "old/weights.npy": pickled("numpy._core.numeric")},
            ("newer-numpy", severity, "old/weights.npy"),
        )
        for text, severity in (
            ("PATH = 'old/weights.npy'", "error"),
            ("NAME = 'old/weights'", "error"),
            ("def path(name): return f'old/{name}.npy'\nPATH = path", "error"),
            ("def path(name): return f'old/{name}.npy'", "warning"),
            ("FILES = '*.npy'", "error"),
            ("NAME = 'heights.npz'", "warning"),
        )
    ),
    (
        {"model.py": "from tensorflow.keras import layers\n" + GOOD, "old/w.keras": keras_file("99.1")},
        ("newer-keras", "warning", "old/w.keras"),
    ),
    ({"model.py": GOOD, "weights.npy": pickled("numpy.core.multiarray")}, None),
    # numpy 1.26 has stand-ins for what numpy 2 pickles arrays by.
    ({"model.py": GOOD + "W = 'weights.npy'", "weights.npy": pickled("numpy._core.multiarray")}, None),
    ({"model.py": GOOD + "W = 'w.pkl'", "w.pkl": pickle.dumps(np.ones(2), protocol=4)}, None),
    ({"model.py": "from keras.layers import Dense\n" + GOOD, "keras/w.keras": keras_file("3.4.1")}, None),
    ({"model.py": "import keras.lost\n" + GOOD, "keras/__init__.py": ""}, ("missing-module", "error", "model.py:1")),
    ({"model.py": "import torch.nn\n" + GOOD, "torch/w.npy": array(1)}, ("missing-module", "error", "model.py:1")),
    ({"model.py": GOOD, "metadata": ""}, ("keeps-weights", "note", "metadata")),
    ({"model.py": GOOD, "metadata.yaml": "description: no command"}, ("keeps-weights", "note", "metadata.yaml")),
    ({"model.py": GOOD, "metadata.yaml": "", "metadata": "command: x"}, ("keeps-weights", "note", "metadata.yaml")),
    ({"model.py": GOOD, "metadata": "command: 5"}, ("unreadable-metadata", "error", "metadata")),
    ({"model.py": GOOD, "w.keras": keras_file("3.4.1"), "weights.npz": array([1])}, None),
]


@pytest.mark.parametrize(("members", "expected"), ARCHIVES)
def test_a_fault_of_the_archive_is_named_with_its_member(members, expected, tmp_path):
    listed = expected if isinstance(expected, list) else [expected] if expected else []
    assert sorted(linted(tmp_path, members)) == listed
