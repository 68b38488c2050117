"""What the lint says of model.py and the modules that it imports."""

import pytest
from linted_zips import CLASS, linted
from submissions import array, keras_file

SOURCES = {
    # source of model.py -> the finding's rule, severity and line
    "import net.lost" + CLASS: ("missing-module", "error", 1),
    "from net import lost" + CLASS: None,  # lost may be a name within net
    "from . import layers" + CLASS: ("relative-import", "error", 1),
    "from .layers import *" + CLASS: ("relative-import", "error", 1),
    "try:\n    from .layers import x\nexcept ImportError:\n    from layers import x" + CLASS: ("relative-import", "note", 2),
    "import keras_cv" + CLASS: ("absent-import", "error", 1),
    "try:\n    import keras_cv\nexcept ImportError:\n    keras_cv = None" + CLASS: ("absent-import", "note", 2),
    "if 0:\n    import torch" + CLASS: ("absent-import", "error", 2),
    "import os\nos.environ['TF_USE_LEGACY_KERAS'] = '1'" + CLASS: ("absent-import", "warning", 2),
    "import os\nos.environ.setdefault('TF_USE_LEGACY_KERAS', 'True')" + CLASS: ("absent-import", "warning", 2),
    "import os\nos.environ |= {'A': '1',\n'TF_USE_LEGACY_KERAS': 'true'}" + CLASS: ("absent-import", "warning", 3),
    "import os\nos.environ['TF_USE_LEGACY_KERAS'] = '0'\nx = os.environ.get('TF_USE_LEGACY_KERAS', '1')" + CLASS: None,
    "import scipy.ndimage" + CLASS: ("assumed-import", "note", 1),
    "import tensorflow as tf, numpy, json, h5py" + CLASS: None,
    "from build.files import atomic" + CLASS: ("imports-build", "error", 1),
    "from google.colab import drive" + CLASS: ("absent-import", "error", 1),
    "import google.protobuf" + CLASS: None,
    "import requests" + CLASS: ("network", "warning", 1),
    "from urllib.request import urlretrieve" + CLASS: ("network", "warning", 1),
    "from urllib.parse import quote" + CLASS: None,
    "import os\nos.system('pip install keras_cv')" + CLASS: ("network", "warning", 2),
    "import subprocess\nsubprocess.run(['wget', 'x'])" + CLASS: ("network", "warning", 2),
    "import subprocess\nsubprocess.run(['ls', 'x'])" + CLASS: None,
    "import keras\nm = keras.applications.ConvNeXtTiny()" + CLASS: ("network", "error", 2),
    "import keras\nm = keras.applications.ConvNeXtTiny(weights='imagenet')" + CLASS: ("network", "error", 2),
    "import keras\nm = keras.applications.ConvNeXtTiny(weights=None)" + CLASS: None,
    "import keras\nm = keras.applications.ConvNeXtTiny(False, None)" + CLASS: None,
    "import keras\nm = keras.applications.ConvNeXtTiny(False, 'imagenet')" + CLASS: ("network", "error", 2),
    "import keras\nm = keras.applications.ConvNeXtTiny(**{'weights': None})" + CLASS: ("network", "warning", 2),
    "import keras\ndef never():\n    return keras.applications.ConvNeXtTiny()" + CLASS: ("network", "warning", 3),
    "import keras\ndef made():\n    return keras.applications.ConvNeXtTiny()\nm = made()" + CLASS: ("network", "error", 3),
    "import numpy as np\nif __name__ == '__main__':\n    np.load('/content/x.npz')" + CLASS: ("absolute-path", "note", 3),
    "import numpy as np\ntry:\n    np.load('/content/x.npz')\nexcept OSError:\n    pass" + CLASS: ("absolute-path", "note", 3),
    "import os, keras\nA = '/content/w.keras'\nif os.path.exists(A):\n    m = keras.models.load_model('/content/w.keras')" + CLASS: (
        "absolute-path", "note", 4,
    ),
    "import os, keras\nCOLAB = os.path.isdir('/content')\nif COLAB:\n    m = keras.models.load_model('/content/w.keras')" + CLASS: (
        "absolute-path", "note", 4,
    ),
    "import os\nx = open('/content/a') if os.path.isfile('/content/a') else None" + CLASS: ("absolute-path", "note", 2),
    "import os\nx = open('/content/a') if os.path.isfile('/content/a') else open('/x/a.txt')" + CLASS: [
        ("absolute-path", "error", 2), ("absolute-path", "error", 2),
    ],
    "from pathlib import Path\nif Path('/content/a.txt').is_file():\n    x = 1" + CLASS: ("absolute-path", "note", 2),
    "from pathlib import Path\nif not Path('/content/a.txt').is_file():\n    raise OSError" + CLASS: ("absolute-path", "error", 2),
    "import os\nif not os.path.exists('/content/a'):\n    x = 1\nelse:\n    x = open('/content/a')" + CLASS: ("absolute-path", "note", 5),
    "import os\nif not os.path.exists('/content/a'):\n    x = open('/content/b.txt')" + CLASS: ("absolute-path", "error", 3),
    "import os\nif os.path.exists('/content/a') or len(os.sep):\n    x = open('/content/a')" + CLASS: ("absolute-path", "error", 3),
    "import os\nif os.path.exists('/content/a') and len(os.sep):\n    x = open('/content/a')" + CLASS: ("absolute-path", "note", 3),
    "import os\nif os.path.exists('/app/program'):\n    x = open('/content/a')" + CLASS: ("absolute-path", "error", 3),
    "import os\nif os.path.exists('a'):\n    x = open('/content/a')" + CLASS: ("absolute-path", "error", 3),
    # Where it is not there it is fetched: the server's way, and no other network may be excused.
    "import os, keras\nif not os.path.exists('/content/a'):\n    m = keras.applications.ConvNeXtTiny()" + CLASS: ("network", "error", 3),
    "import os, keras\nif os.path.exists('/content'):\n    m = keras.applications.ConvNeXtTiny()" + CLASS: ("network", "error", 3),
    "import numpy as np\nif __name__ == '__main__':\n    import seaborn\n    np.load('lost.npz')\n    print(lost)\n    exit()" + CLASS: [
        ("absent-import", "note", 3), ("missing-file", "note", 4), ("undefined-name", "note", 5), ("exit", "note", 6),
    ],
    "import numpy as np\nif __name__ != '__main__':\n    np.load('lost.npz')" + CLASS: ("missing-file", "error", 3),
    "import numpy as np\ndef train():\n    import seaborn\n    np.load('lost.npz')\n    return lost" + CLASS: [
        ("absent-import", "warning", 3), ("missing-file", "warning", 4), ("undefined-name", "warning", 5),
    ],
    # What only a training calls is never called either.
    "import numpy as np\ndef data():\n    return np.load('lost.npz')\ndef train():\n    data()\n"
    "if __name__ == '__main__':\n    train()" + CLASS: ("missing-file", "warning", 3),
    "import numpy as np\ndef data():\n    return np.load('lost.npz')\nx = data()" + CLASS: ("missing-file", "error", 3),
    "import numpy as np\ntry:\n    np.load('lost.npz')\nexcept OSError:\n    pass" + CLASS: ("missing-file", "note", 3),
    "import os, numpy as np\nif os.path.exists('lost.npz'):\n    np.load('lost.npz')" + CLASS: ("missing-file", "note", 3),
    "import os, numpy as np\nif os.path.exists('weights.keras'):\n    np.load('lost.npz')" + CLASS: ("missing-file", "error", 3),
    "import keras\nm = keras.utils.get_file('a', 'https://b')" + CLASS: ("network", "warning", 2),
    "import keras\nm = keras.models.load_model('weights.keras')" + CLASS: ("relative-path", "warning", 2),
    "import keras\nm = keras.models.load_model('./weights.keras')" + CLASS: ("relative-path", "warning", 2),
    "import keras\nm = keras.models.load_model(filepath='weights.keras')" + CLASS: ("relative-path", "warning", 2),
    "import keras\nm = keras.models.load_model('lost.keras')" + CLASS: ("missing-file", "error", 2),
    # A function of the zip's own may join the folder itself.
    "def load(name):\n    return name\nx = load('old.npy')" + CLASS: None,
    "def load(name):\n    return name\nx = load('weights.keras')" + CLASS: None,
    "def load(name):\n    return name\nx = load('lost.npz')" + CLASS: ("missing-file", "warning", 3),
    "class Net:\n    def load(self, name):\n        return name\n    def __init__(self):\n        self.load('old.npy')" + CLASS: None,
    "from layers import load_model\nx = load_model('old.npy')" + CLASS: None,
    "import net.layers\nx = net.layers.load('old.npy')" + CLASS: None,
    "import numpy as np\ndef load(name):\n    return np.load('old.npy')\nx = load(1)" + CLASS: ("missing-file", "error", 3),
    "import keras\nm = keras.models.load_model('/content/drive/w.keras')" + CLASS: ("absolute-path", "error", 2),
    "from pathlib import Path\nw = Path('/content/drive/w.keras')" + CLASS: ("absolute-path", "error", 2),
    "from pathlib import Path\nw = Path('/content')\nw = w if w.exists() else Path()" + CLASS: ("absolute-path", "warning", 2),
    "import keras\nm = keras.models.load_model('C:\\\\w.keras')" + CLASS: ("absolute-path", "error", 2),
    "import keras\nm = keras.models.load_model('~/w.keras')" + CLASS: ("absolute-path", "error", 2),
    "import tensorflow as tf\nm = tf.saved_model.load('net_v1.2')" + CLASS: ("relative-path", "warning", 2),
    "from pathlib import Path\nw = Path(__file__).parent / Path('weights.keras')" + CLASS: None,
    "import os, keras\nos.chdir(os.path.dirname(__file__))\nm = keras.models.load_model('weights.keras')" + CLASS: None,
    "f = open('log.txt', 'w')" + CLASS: None,
    "f = open('log.txt', mode='w')" + CLASS: None,
    "f = open('lost.txt')" + CLASS: ("missing-file", "error", 1),
    "import sys\nsys.exit()" + CLASS: ("exit", "warning", 2),
    "x = tfk_models.load" + CLASS: ("undefined-name", "error", 1),
    "from numpy import *\nx = zeros(3)" + CLASS: None,
    "def f():\n    print(a)\n    a = 1\nf()" + CLASS: ("undefined-name", "error", 2),
    "x = [": ("syntax", "error", 1),
    "# -*- coding: klingon -*-" + CLASS: ("syntax", "error", 0),
    "class model:\n    pass": ("no-class", "error", 0),
    "from net import layers as Model": None,
    "from net.layers import *": None,
    "import numpy\nModel = numpy.ndarray": None,
    "try:\n    from net import Model\nexcept ImportError:\n    Model = None": None,
    "class Model:\n    def forward(self, X):\n        pass": ("no-predict", "error", 1),
    "class Base:\n    pass\nclass Model(Base):\n    pass": None,
    "class Model:\n    predict = print": None,
    "for i in (1, 2):\n    class Model:\n        predict = print": None,
    "import keras\nx = keras.layers.RandAugment()" + CLASS: ("newer-api", "error", 2),
    "from tensorflow import keras as k\nx = k.layers.RandAugment()" + CLASS: ("newer-api", "error", 2),
    "from tensorflow.keras import layers as l\nx = l.RandAugment()" + CLASS: ("newer-api", "error", 2),
    "import tensorflow as tf\nx = tf.keras.layers.RandAugment()" + CLASS: ("newer-api", "error", 2),
    "from keras.layers import Dense, RandAugment" + CLASS: ("newer-api", "error", 1),
    "import tensorflow as tf\ntfkl = tf.keras.layers\nx = tfkl.RandAugment()" + CLASS: ("newer-api", "error", 3),
    "import tensorflow as tf\ntfk = tf.keras\ntfkl = tfk.layers\nx = tfkl.RandAugment()" + CLASS: ("newer-api", "error", 4),
    "import numpy as np\nx = np.unstack" + CLASS: ("newer-api", "error", 2),
    "import numpy as np\ntry:\n    x = np.concat\nexcept AttributeError:\n    x = np.concatenate" + CLASS: ("newer-api", "note", 3),
    "from itertools import batched, chain" + CLASS: ("newer-api", "error", 1),
    "import math as m\nx = m.sumprod" + CLASS: ("newer-api", "error", 2),
    "import os\nx = os.path.splitroot" + CLASS: ("newer-api", "error", 2),
    "try:\n    from warnings import deprecated\nexcept ImportError:\n    deprecated = None" + CLASS: ("newer-api", "note", 2),
    "import copy\nx = copy.copy\ny = 'a'.replace" + CLASS: None,
    "import copy\ndef f(copy):\n    return copy.replace('a', 'b')\nx = f('a')" + CLASS: None,
    "import keras\nif __name__ == '__main__':\n    keras.layers.RandAugment()" + CLASS: ("newer-api", "note", 3),
    "from keras.applications import ConvNeXtTiny\nm = ConvNeXtTiny()" + CLASS: ("network", "error", 2),
    "from tensorflow.keras.applications.convnext import ConvNeXtTiny as N\nm = N()" + CLASS: ("network", "error", 2),
    "from keras.applications import ConvNeXtTiny\nm = ConvNeXtTiny(weights=None)" + CLASS: None,
    "from subprocess import run\nrun(['pip', 'install', 'x'])" + CLASS: ("network", "warning", 2),
    "from sys import exit\nexit()" + CLASS: ("exit", "warning", 2),
    "import numpy as np\ntry:\n    x = np.unstack\nfinally:\n    pass" + CLASS: ("newer-api", "error", 3),
    "import numpy as np\ntry:\n    x = np.unstack\nexcept AttributeError:\n    raise" + CLASS: ("newer-api", "error", 3),
    "import numpy as np\ntry:\n    x = np.unstack\nexcept KeyError:\n    x = 1" + CLASS: ("newer-api", "error", 3),
    "import numpy as np\nconversion = 1\nif conversion:\n    x = np.unstack" + CLASS: ("newer-api", "error", 4),
    "import numpy as np\nif np.__version__ > '2':\n    x = np.unstack" + CLASS: ("newer-api", "note", 3),
    "import numpy as np\nx = np.load('/tmp/x.npy')" + CLASS: None,
    "x = open('/etc/hosts'), open('/sys/fs/cgroup/memory.max')" + CLASS: None,
    "import numpy as np\nx = np.load('https://b/x.npy')" + CLASS: ("network", "warning", 2),
    "import keras\nif __name__ == '__main__':\n    x = 1\nelse:\n    x = keras.layers.RandAugment()" + CLASS: (
        "newer-api", "error", 5,
    ),
    "try:\n    from typing_extensions import override\nexcept ImportError:\n    from typing import override" + CLASS: (
        "newer-api", "note", 4,
    ),
    "import numpy as np\ntry:\n    f = np.trapz\nexcept AttributeError:\n    f = np.trapezoid" + CLASS: ("newer-api", "note", 5),
    "import numpy as np\nif hasattr(np, 'trapz'):\n    f = np.trapz\nelse:\n    f = np.trapezoid" + CLASS: ("newer-api", "note", 5),
    "import numpy as np\nx = np.unstack if hasattr(np, 'unstack') else None" + CLASS: ("newer-api", "note", 2),
    "import numpy as np\nif np.__version__ > '2':\n    x = np.unstack" + CLASS: ("newer-api", "note", 3),
    "import numpy as np\ndef unused():\n    return np.unstack" + CLASS: ("newer-api", "warning", 3),
    "import numpy as np\nclass A:\n    def unused(self):\n        return np.unstack" + CLASS: ("newer-api", "warning", 4),
    "import numpy as np\nclass A(list):\n    def called_by_it(self):\n        return np.unstack" + CLASS: ("newer-api", "error", 4),
    "import numpy as np\nclass A:\n    def __init__(self):\n        self.x = np.unstack" + CLASS: ("newer-api", "error", 4),
    "import numpy as np\nclass A:\n    def predict(self, X):\n        return np.unstack" + CLASS: ("newer-api", "error", 4),
    "import numpy as np\ndef helper():\n    return np.unstack\nx = helper()" + CLASS: ("newer-api", "error", 3),
    "import numpy as np\nclass Model:\n    def predict(self, X):\n        return np.unstack(X)": ("newer-api", "error", 4),
    "import numpy as np\nx = dict().np.unstack" + CLASS: None,
    "import keras\nx = keras.layers.RandomFlip()\ny = x.layers.RandAugment" + CLASS: None,
    "class Model:\n    async def predict(self, X):\n        pass": ("async", "error", 2),
    "class Model:\n    def predict(self):\n        pass": ("predict-arguments", "error", 2),
    "class Model:\n    def predict(self, X, y):\n        pass": ("predict-arguments", "error", 2),
    "class Model:\n    def predict(self, X, *, y):\n        pass": ("predict-arguments", "error", 2),
    "class Model:\n    def predict(self, X, y=1, *a, z=2, **k):\n        pass": None,
    "class Model:\n    @staticmethod\n    def predict(X):\n        pass": None,
    "class Model:\n    @staticmethod\n    def predict(X, y):\n        pass": ("predict-arguments", "error", 3),
    "class Model:\n    def __init__(self, path):\n        pass\n    predict = print": ("init-arguments", "error", 2),
    "class Model:\n    def __init__():\n        pass\n    predict = print": ("init-arguments", "error", 2),
    "class Model:\n    def __init__(self, path='w'):\n        pass\n    predict = print": None,
    "from contextlib import suppress\nwith suppress(ImportError):\n    import torch" + CLASS: ("absent-import", "note", 3),
    "from contextlib import suppress\nwith suppress(KeyError):\n    import torch" + CLASS: ("absent-import", "error", 3),
    "import importlib.util as u\nif u.find_spec('torch'):\n    import torch" + CLASS: ("absent-import", "note", 3),
    "from importlib.util import find_spec\nhas = find_spec('torch') is not None\nif has:\n    import torch" + CLASS: (
        "absent-import", "note", 4,
    ),
    "import contextlib, numpy as np\nwith contextlib.suppress(OSError):\n    np.load('/content/x.npz')" + CLASS: (
        "absolute-path", "note", 3,
    ),
    "try:\n    import keras_cv\nexcept* ImportError:\n    keras_cv = None" + CLASS: ("absent-import", "note", 2),
    "from applications.nets import Net\nm = Net()" + CLASS: None,
    "from pathlib import Path\nc = Path('~/.cache').expanduser()" + CLASS: ("absolute-path", "warning", 2),
    "import h5py\nf = h5py.File('scratch.h5', 'w')" + CLASS: None,
    "import h5py\nf = h5py.File('lost.h5', 'r')" + CLASS: ("missing-file", "error", 2),
    "import numpy as np\na = np.memmap('a.dat', 'float32', 'w+', shape=(4,))" + CLASS: None,
    "import numpy as np\na = np.memmap('a.dat', 'float32', shape=(4,))" + CLASS: ("missing-file", "error", 2),
    "import copy\nclass Model:\n    def predict(self, X):\n        copy = str(X)\n        return copy.replace('a', 'b')": None,
    "import copy\nclass Model:\n    def predict(self, X):\n        global copy\n        copy = copy.replace(copy, a=1)": (
        "newer-api", "error", 5,
    ),
    "A = print\nclass B:\n    predict = A\nModel, other = B, 1": None,
    "x = type('x', (), {})\nx.Model = 1": ("no-class", "error", 0),
    "import tensorflow as tf\nclass Model:\n    def predict(self, X):\n        return tf.image.resize(X, (224, 224))": (
        "whole-array", "warning", 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", SOURCES)
def test_a_fault_of_the_source_is_named_with_its_line_and_what_is_fine_is_not_named(text, tmp_path):
    beside = {
        "weights.keras": keras_file("3.4.1"),
        "net/__init__.py": "Model = 1",
        "net/layers.py": "",
        "layers.py": "",
        "net/old.npy": array([1]),
        "net_v1.2/saved_model.pb": "x",
        "applications/nets.py": "Net = print",
    }
    expected = SOURCES[text]
    found = linted(tmp_path, {"model.py": text} | beside)
    if expected is None:
        assert found == []
    else:
        listed = expected if isinstance(expected, list) else [expected]
        assert found == [
            (rule, severity, f"model.py:{line}" if line else "model.py") for rule, severity, line in listed
        ]


def test_modules_that_model_py_imports_are_read_too_and_others_are_not(tmp_path):
    members = {
        "model.py": "from net import head" + CLASS,
        "net/__init__.py": "",
        "net/head.py": "import numpy\nfrom .tail import x\nprint(nothing)",
        "net/tail.py": "import torch\nx = 1",
        "net/unused.py": "import cv2",
    }
    assert linted(tmp_path, members) == [
        ("undefined-name", "error", "net/head.py:3"),
        ("absent-import", "error", "net/tail.py:1"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "sys.path.append(os.path.dirname(os.path.abspath(__file__)) + '/src')",
        "sys.path.insert(0, os.path.join(os.path.dirname(__file__), 'src'))",
        "sys.path.append(str(Path(__file__).parent / 'src'))",
        "for name in ('src', 'lib'):\n    sys.path.append(str(Path(__file__).parent / name))",
    ],
)
def test_modules_in_a_folder_that_model_py_adds_to_python_s_search_are_in_the_zip_and_read(line, tmp_path):
    first = f"import os, sys\nfrom pathlib import Path\n{line}\n"
    members = {"model.py": first + "from blocks import x\nimport heads.lost" + CLASS, "src/heads/__init__.py": ""}
    members |= {"src/blocks.py": "import tails\nprint(nothing)\nx = 1", "src/tails.py": "import torch"}
    lost = first.count("\n") + 2
    assert linted(tmp_path, members) == [
        ("missing-module", "error", f"model.py:{lost}"),
        ("undefined-name", "error", "src/blocks.py:2"),
        ("absent-import", "error", "src/tails.py:1"),
    ]
    members["model.py"] = first.replace("src", "old") + "from blocks import x" + CLASS
    assert linted(tmp_path, members) == [("absent-import", "error", f"model.py:{lost - 1}")]
