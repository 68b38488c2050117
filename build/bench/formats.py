"""One trained network in every format that could ship: `python -m build.bench formats`.

The last run's network (or a ConvNeXt atto with drawn weights where there is no run) as a zip of each kind: rebuilt in code from an
npz of arrays (ours), SavedModel, .keras, LiteRT, ONNX. For each: zipped megabytes; seconds of a fresh process from its first line to
the first label; processor milliseconds an image in batches of 64; and the version sets of `nox -s compat` under which the file, written
by the versions installed here, gives the same labels. Sets whose environments have not been made are left out. An exporter that is
not installed is named. Results also go to runs/bench/formats.json.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from rich.table import Table

from build.bench import turns
from build.console import bar, console, muffled
from build.errors import UserError
from build.files import write_zip
from build.package import WEIGHTS, copy_code
from build.processes import ROOT
from build.runs import Run
from build.score.compat.compare import Answer, ask
from build.score.compat.environments import NEWEST, folder_of, provide, version_sets
from submission import weights
from submission.contract import CLASSES, IMAGE_SHAPE, PIXEL_MAX
from submission.inference import read
from submission.network import assign, build, complete, variables

IMAGES, ROUNDS = 64, 7
OURS = "arrays, rebuilt in code (ours)"
HALF = "the same, float16"
ENVIRONMENTS = ROOT / ".nox"
Answers = dict[str, dict[str, Answer]]
MODEL = '''"""The network in another format than the kit's."""

from pathlib import Path

import numpy as np
{imports}

HERE = Path(__file__).resolve().parent
BATCH = 64


class Model:
    def __init__(self):
        {load}

    def predict(self, X):
        parts = [np.asarray(X[start : start + BATCH], np.float32) for start in range(0, len(X), BATCH)]
        return np.concatenate([np.asarray(self.run(part)).argmax(axis=1) for part in parts])
'''
LITERT = """self.interpreter = tf.lite.Interpreter(str(HERE / "network.tflite"), num_threads=2)
        self.size = 0

    def run(self, pixels):
        (given,), (answer,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        if len(pixels) != self.size:
            self.size = len(pixels)
            self.interpreter.resize_tensor_input(given["index"], pixels.shape)
            self.interpreter.allocate_tensors()
        self.interpreter.set_tensor(given["index"], pixels)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(answer["index"])"""
ONNX = """self.session = onnxruntime.InferenceSession(str(HERE / "network.onnx"), providers=["CPUExecutionProvider"])

    def run(self, pixels):
        return self.session.run(None, {self.session.get_inputs()[0].name: pixels})[0]"""
SAVED = """self.network = tf.saved_model.load(str(HERE / "network"))  # kept: its variables live as long as it does
        self.run = self.network.serve"""
KERAS = """model = keras.models.load_model(HERE / "network.keras", compile=False)
        self.run = lambda pixels: model(pixels, training=False)"""


def saved_model(model: keras.Model, folder: Path) -> None:
    """Keras' own export: a graph with one function `serve`."""
    model.export(folder / "network", verbose=False)


def keras_file(model: keras.Model, folder: Path) -> None:
    """Keras' own file: layers by name, and their weights."""
    model.save(folder / "network.keras")


def litert(model: keras.Model, folder: Path) -> None:
    """TensorFlow's converter, float32."""
    with tempfile.TemporaryDirectory() as scratch:
        model.export(Path(scratch) / "graph", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(Path(scratch) / "graph"))
        (folder / "network.tflite").write_bytes(converter.convert())


def onnx(model: keras.Model, folder: Path) -> None:
    """tf2onnx, with the Erfc that ONNX does not know written as 1 - Erf."""
    import onnx as format_of_files
    import tf2onnx

    signature = [tf.TensorSpec((None, *IMAGE_SHAPE), tf.float32, name="pixels")]
    function = tf.function(lambda pixels: model(pixels, training=False), input_signature=signature, autograph=False)
    graph, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=17)
    helper, nodes, one = format_of_files.helper, [], "one_of_erfc"
    for node in graph.graph.node:
        if node.op_type == "Erfc":
            inner = f"{node.output[0]}_erf"
            nodes.append(helper.make_node("Erf", list(node.input), [inner]))
            nodes.append(helper.make_node("Sub", [one, inner], list(node.output)))
        else:
            nodes.append(node)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    graph.graph.initializer.append(format_of_files.numpy_helper.from_array(np.float32(1), one))
    format_of_files.save(graph, folder / "network.onnx")


FORMATS: dict[str, tuple[Callable[[keras.Model, Path], None], str, str]] = {
    # name: (exporter, imports of model.py, how it loads)
    "SavedModel": (saved_model, "import tensorflow as tf", SAVED),
    ".keras": (keras_file, "import keras", KERAS),
    "LiteRT": (litert, "import tensorflow as tf", LITERT),
    "ONNX": (onnx, "import onnxruntime", ONNX),
}


def network() -> tuple[dict, dict[str, np.ndarray], str]:
    """Spec and arrays of the last run's network, else of a drawn ConvNeXt atto; and which it is, in words."""
    try:
        run = Run.open("latest")
        (spec, arrays), *_ = read(run.weights_path)[0]
    except (UserError, weights.WeightsError):
        spec = complete({"network": "convnext", "size": "atto", "classes": len(CLASSES), "image_shape": [*IMAGE_SHAPE]})
        arrays = {name: np.asarray(value) for name, value in variables(build(spec)).items()}
        return spec, arrays, "ConvNeXt atto, drawn weights"
    return spec, arrays, f"{spec['network']} {spec.get('size', '')} of run {run.id}"


def write(spec: dict, arrays: dict[str, np.ndarray], folder: Path) -> tuple[dict[str, Path], list[str]]:
    """A zip of each format below `folder`, by name; and a sentence for each format that cannot be written here."""
    zips, missing = {}, []
    for name, storage in ((OURS, "float32"), (HALF, "float16")):
        staged = folder / storage
        copy_code(staged)
        weights.save(staged / WEIGHTS, arrays, {"spec": spec}, storage=storage)
        zips[name] = folder / f"{storage}.zip"
        write_zip(staged, zips[name])
    model = build(spec, initialize=False)
    assign(model, arrays)
    for name, (export, imports, load) in FORMATS.items():
        staged = folder / export.__name__
        staged.mkdir()
        try:
            export(model, staged)
        except ImportError as error:
            missing.append(f"{name} is left out: {error.name} is not installed here.")
            continue
        (staged / "model.py").write_text(MODEL.format(imports=imports, load=load), encoding="utf-8")
        zips[name] = folder / f"{export.__name__}.zip"
        write_zip(staged, zips[name])
    return zips, missing


def environments() -> dict[str, Path]:
    """Python of each version set whose environment is there; this process's own is NEWEST."""
    sets = [one for one in version_sets() if one.name == NEWEST or folder_of(one, ENVIRONMENTS).exists()]
    found = {one.name: provide(one, ENVIRONMENTS).python for one in sets}
    return {name: python for name, python in found.items() if python}


def ask_all(zips: dict[str, Path], pythons: dict[str, Path], scratch: Path) -> Answers:
    """Every zip's answers by format and version set; speed is measured under NEWEST."""
    images = np.random.default_rng(0).integers(0, PIXEL_MAX + 1, (IMAGES, 6, 6, 3), np.uint8)
    height, width, _ = IMAGE_SHAPE
    times = -(-max(height, width) // 6)
    np.save(scratch / "images.npy", images.repeat(times, axis=1).repeat(times, axis=2)[:, :height, :width])
    answers: Answers = {name: {} for name in zips}
    with bar("formats", len(zips) * len(pythons), "processes") as advance:
        for versions, python in pythons.items():
            for name, path in zips.items():
                rounds = ROUNDS if versions == NEWEST else 0
                asked = {"squares": scratch / "images.npy"}
                answers[name][versions] = ask(path, python, asked, scratch, rounds=rounds)
                advance()
    return answers


def facts_of(name: str, path: Path, answers: Answers) -> dict:
    """JSON-able figures of one format."""
    here = answers[name][NEWEST]
    # Half the digits may give another label to an image between two classes: they are compared among themselves.
    expected = answers[HALF if name == HALF else OURS][NEWEST].labels["squares"]
    loads, problems = [], {}
    for versions, answer in answers[name].items():
        if answer.problem:
            problems[versions] = answer.problem
        elif not np.array_equal(answer.labels["squares"], expected):
            problems[versions] = f"{(answer.labels['squares'] != expected).sum()} labels are others."
        else:
            loads.append(versions)
    return {
        "zip_mb": round(path.stat().st_size / 1e6, 2),
        "first_s": round(here.seconds["first"], 1) if "first" in here.seconds else None,
        "cpu_ms": None if here.cpu_ms is None else round(here.cpu_ms, 2),
        "loads": loads,
        "problems": problems,
    }


def main() -> None:
    """Measure, print the table, write runs/bench/formats.json."""
    spec, arrays, title = network()
    versions = f"TensorFlow {tf.__version__}", f"Keras {keras.__version__}"
    begun = turns.begin(f"Formats of {title}", *versions, advice="seconds are not to be trusted")
    pythons = environments()
    with tempfile.TemporaryDirectory() as folder:
        with muffled():
            zips, missing = write(spec, arrays, Path(folder))
        answers = ask_all(zips, pythons, Path(folder))
        facts = {name: facts_of(name, path, answers) for name, path in zips.items()}
    table = Table("format", title=f"Version sets: {', '.join(pythons)}", title_justify="left")
    for column in ("zipped", "first label", "cpu-ms an image", "same labels under"):
        table.add_column(column, justify="left" if column.startswith("same") else "right")
    for name, fact in facts.items():
        spent = "" if fact["cpu_ms"] is None else f"{fact['cpu_ms']:.2f}"
        first = "" if fact["first_s"] is None else f"{fact['first_s']:.1f} s"
        table.add_row(name, f"{fact['zip_mb']:.2f} MB", first, spent, ", ".join(fact["loads"]) or "none")
    console.print(table)
    for name, fact in facts.items():
        for versions, problem in fact["problems"].items():
            console.print(f"{name} under {versions}: {problem}", markup=False)
    for sentence in missing:
        console.print(sentence, markup=False)
    turns.save("formats", {"network": title} | begun | {"formats": facts})
