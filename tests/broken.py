"""The corpus of broken submissions, up to Model(): each kind with its writer, the step in which it fails, what the judge must say."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import submissions as zips
from submissions import GOOD, also, header_field, model, only, raw, source

SERVER = "TensorFlow 2.17.0 / Keras 3.4.1"
ISOLATED = "bwrap"


@dataclasses.dataclass(frozen=True)
class Broken:
    """One kind of broken submission."""

    write: Callable[[Path], Path]
    step: str
    """Where it fails; empty where it scores all the same, with a finding."""
    says: str
    """The reason, or the finding's message where it scores; * stands for anything."""
    rule: str = ""
    """A finding that the judge must have."""
    engine: str = ""
    """The engine that it takes to show; empty: any."""
    time_limit: float = 20
    memory_limit: float | None = None
    output_limit: float = 4096
    probes: bool = False
    """Whether it takes the probes to show (they double the time)."""


NEWER = f"def same[T](x: T) -> T:\n    return x\n{GOOD}"
NEWER_SAYS = (
    ("environment", "*model.py needs a newer Python than the server's 3.11: *", "newer-python")
    if sys.version_info >= (3, 12)
    else ("prediction", "model.py, line 1, is not valid Python: *", "syntax")
)
LOADS = "from pathlib import Path\nself.w = np.load({})"

UPLOAD = {
    "empty file": Broken(raw(b""), "upload", "The file is empty.", "empty-file"),
    "no zip": Broken(raw(b"import numpy\n" * 99), "upload", "This is not a readable zip archive (*).", "not-a-zip"),
    "truncated": Broken(zips.truncated, "upload", "This is not a readable zip archive (*).", "not-a-zip"),
    "no members": Broken(only({}), "upload", "The archive holds no files.", "no-files"),
    "encrypted": Broken(header_field(6, 1), "upload", "model.py is encrypted.", "encrypted"),
    "strongly encrypted": Broken(header_field(6, 0x40), "upload", "model.py is encrypted.", "encrypted"),
    "unknown compression": Broken(
        header_field(8, 97),
        "upload",
        "model.py is compressed by method 97, which Python's zipfile cannot read.",
        "unknown-compression",
    ),
    "bad CRC": Broken(zips.flipped, "upload", "model.py is damaged (Bad CRC-32 for file 'model.py').", "bad-crc"),
    "zip bomb": Broken(
        zips.bomb, "upload", "The archive unpacks to * times its size (134 MB): a zip bomb.", "zip-bomb"
    ),
    "long name": Broken(
        also({"w" * 300: "x"}), "upload", "www* cannot be written (a name of 300 bytes, the most is 255).", "bad-name"
    ),
    "file and folder": Broken(
        also({"model.py/weights.npy": "x"}),
        "upload",
        "model.py/weights.npy cannot be written (model.py is a file and a folder).",
        "bad-name",
    ),
}
IMPORTING = {
    "wrapper folder": Broken(
        only({"submission/model.py": GOOD}),
        "prediction",
        "model.py is not at the root of the zip but in submission/.",
        "wrapper-folder",
    ),
    "only __MACOSX": Broken(
        only({"__MACOSX/._model.py": "\0\5\26\7"}), "prediction", "There is no model.py in the zip.", "junk"
    ),
    "no model.py": Broken(only({"main.py": GOOD}), "prediction", "There is no model.py in the zip.", "no-model"),
    "capital letter": Broken(
        only({"Model.py": GOOD}),
        "prediction",
        "The file is called Model.py; the server looks for model.py.",
        "no-model",
    ),
    "backslashes": Broken(
        also({"net\\layers.py": "x = 1"}, f"import net.layers\n{GOOD}"),
        "prediction",
        "model.py, line 1, imports net, whose name in the zip has backslashes.",
        "backslash",
    ),
    "syntax error": Broken(
        source("class Model:\n    def predict(self, X)\n        return X\n"),
        "prediction",
        "model.py, line 2, is not valid Python: expected ':'.",
        "syntax",
    ),
    "null bytes": Broken(
        source("import numpy\0\n"), "prediction", "model.py is not valid Python: *null bytes.", "syntax"
    ),
    "newer syntax": Broken(source(NEWER), *NEWER_SAYS),
    "undefined name": Broken(
        source(model("return tfk_models.argmax(X)")),
        "prediction",
        "model.py, line 6, uses a name that is not defined: name 'tfk_models' is not defined.",
        "undefined-name",
    ),
    "absent package": Broken(
        source(model(top="import keras_cv")),
        "prediction",
        f"model.py, line 1, imports keras_cv, which the server does not have ({SERVER}).",
        "absent-import",
    ),
    "absent backend": Broken(
        source(model(top="import os\nos.environ['KERAS_BACKEND'] = 'jax'\nimport keras")),
        "prediction",
        "model.py, line 3, imports jax, which the server does not have (*).",
        time_limit=60,
    ),
    "unknown package": Broken(
        source(model(top="import frobnicate")),
        "prediction",
        f"model.py, line 1, imports frobnicate, which is neither in the zip nor known to be on the server ({SERVER}).",
        "absent-import",
    ),
    "forgotten module": Broken(
        also({"net/layers.py": ""}, model(top="import net.blocks")),
        "prediction",
        "model.py, line 1, imports net.blocks, which is not in the zip.",
        "missing-module",
    ),
    "imports build": Broken(
        source(model(top="from build.errors import UserError")),
        "prediction",
        "model.py, line 1, imports build*, which stays at home.",
        "imports-build",
    ),
    "no class": Broken(
        source("def predict(X):\n    return X\n"), "prediction", "model.py has no class Model.", "no-class"
    ),
    "raises on import": Broken(
        source("raise RuntimeError('no GPU')\n" + GOOD),
        "prediction",
        "importing model.py raised RuntimeError: no GPU (model.py, line 1).",
    ),
}
MAKING = {
    "init arguments": Broken(
        source(GOOD.replace("__init__(self)", "__init__(self, path)")),
        "prediction",
        "Model() cannot be made without arguments: *missing 1 required positional argument: 'path'.",
        "init-arguments",
    ),
    "raises in init": Broken(
        source(model(init="raise ValueError('bad weights')")),
        "prediction",
        "Model() raised ValueError: bad weights (model.py, line 4).",
    ),
    "weights missing": Broken(
        source(model(init=LOADS.format("Path(__file__).parent / 'weights.npy'"))),
        "prediction",
        "model.py, line 5, opens 'weights.npy', which is not in the zip.",
    ),
    "relative weights": Broken(
        also({"weights.npy": zips.array([1])}, model(init=LOADS.format("'weights.npy'"))),
        "",
        "'weights.npy' is opened relative to the working directory, which is taken to be the submission's folder.",
        "relative-path",
    ),
    "relative and missing": Broken(
        source(model(init=LOADS.format("'weights.npy'"))),
        "prediction",
        "model.py, line 5, opens 'weights.npy', which is not in the zip.",
        "missing-file",
    ),
    "absolute path": Broken(
        source(model(init=LOADS.format("'/home/me/weights.npy'"))),
        "prediction",
        "model.py, line 5, opens '/home/me/weights.npy', a path of another machine.",
        "absolute-path",
    ),
    "symlink member": Broken(zips.linked, "prediction", "Model() raised ValueError: *", "symlink"),
    "network": Broken(
        source(model(init="import urllib.request\nurllib.request.urlopen('http://example.com/w.h5')")),
        "prediction",
        "model.py, line 5, uses the network, which the server may not offer (URLError).",
        "network",
        engine=ISOLATED,
    ),
    "writes outside": Broken(
        source(model(init="open('/etc/cache.txt', 'w')")),
        "prediction",
        "model.py, line 4, writes '/etc/cache.txt'; the judge lets a submission write beside its own files and to the temporary folder "
        "only.",
        engine=ISOLATED,
    ),
    "ends the process": Broken(
        source(model(init="sys.exit(0)")), "prediction", "model.py, line 4, ends the process (sys.exit).", "exit"
    ),
    "os._exit": Broken(
        source(model(init="os._exit(0)")),
        "prediction",
        "The submission ended the ingestion program before clean was predicted.",
        "exit",
    ),
    "endless loop": Broken(
        source(model(init="while True: pass")),
        "prediction",
        "The prediction step took longer than its limit of 0.8 s and was killed.",
        time_limit=0.8,
    ),
    "memory hog": Broken(
        source(model(init="self.all = [np.ones(4_000_000) for _ in range(200)]")),
        "prediction",
        "The prediction step needed more than 200 MiB of memory and was killed.",
        memory_limit=200,
    ),
    "output flood": Broken(
        source(model(init="while True: os.write(1, bytes(100_000))")),
        "prediction",
        "The prediction step wrote more than 2 MiB and was killed.",
        output_limit=2,
    ),
    "process flood": Broken(
        source(model(init="for _ in range(300):\n    if os.fork() == 0:\n        time.sleep(60)\ntime.sleep(60)")),
        "prediction",
        "The prediction step started more than 256 processes and was killed.",
    ),
    "kills its parent": Broken(
        source(model(init="os.kill(os.getppid(), 9)\ntime.sleep(0.3)\nos._exit(0)")),
        "prediction",
        "The submission ended the ingestion program before clean was predicted.",
    ),
    "reserved name": Broken(
        source(model(init="open(os.path.join(sys.argv[2], 'metadata'), 'w').close()")),
        "prediction",
        "The output holds a file called metadata, which the worker keeps for itself.",
    ),
}
