"""Prediction beside keras.applications and other engines: `python -m build.bench predict`.

ConvNeXt atto and tiny at 96x96, every engine with two threads (build/bench/engines.py):

- batches of 64: processor milliseconds an image (user and system time of the process, all its threads), and by the clock;
- atto alone, one image a call: milliseconds by the clock, median and 95th percentile;
- atto alone, a fresh process: seconds from its start to its first answer, imports and loading among them.

All engines have the same weights, except timm's, and must give the same logits, or nothing is printed; those that round to 8 bits must
agree in most labels. All take turns in every round; a figure is the median of the rounds, a ratio the median of the rounds' ratios.
An engine that is not installed is named and left out. Results also go to runs/bench/predict.json.
"""

import importlib.util
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from rich.table import Table

from build import processes
from build.bench import exported, turns
from build.bench.engines import BATCH, ENGINES, OTHER_WEIGHTS, OURS, ROUGH, THREADS, Batch, start, traced
from build.console import console, muffled
from build.train.pretrained import convnext_arrays
from submission import contract, weights
from submission.convnext import SIZES
from submission.network import assign, build, complete

ROUNDS = {"atto": 11, "tiny": 5}
CALLS = 41
STARTS = 3
TOLERANCE = 1e-3
AGREEMENT = 0.8
"""Labels in which a rounding engine agrees with the others at least. These weights are random: the classes lie close together."""


def main() -> None:
    """Measure, print the tables, write runs/bench/predict.json."""
    begun = turns.begin(f"Prediction at 96x96, {THREADS} threads", f"TensorFlow {tf.__version__}")
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    images = np.random.default_rng(0).integers(0, contract.PIXEL_MAX + 1, (BATCH, *contract.IMAGE_SHAPE), np.uint8)
    facts: dict = begun | {"batch": BATCH, "threads": THREADS}
    for size, rounds in ROUNDS.items():
        with tempfile.TemporaryDirectory() as folder:
            facts[size] = compare(size, images, Path(folder), rounds=rounds)
            if size == "atto":
                facts["first"] = first_answers(Path(folder), names=[n for n in facts[size]["batches"] if n in ENGINES])
    turns.save("predict", facts)


def compare(size: str, images: np.ndarray, folder: Path, *, rounds: int) -> dict:
    """Time every engine on (B, H, W, 3) uint8 images, print the tables; "batches" and "single": name -> figures."""
    with muffled():
        runners, missing = contenders(size, folder)
        answers = {name: function(images) for name, function in runners.items()}  # also traces each of them
        agreements = check(answers)
        walls: dict[str, np.ndarray] = {}
        spent = turns.take(runners, images, rounds=rounds, walls=walls)
    facts = turns.table(spent, ours=OURS, head=f"ConvNeXt {size}, batches of {len(images)}")
    for name, fact in facts.items():
        fact["wall_ms"] = round(float(np.median(walls[name])), 3)
        fact["times_ours_by_the_clock"] = round(float(np.median(walls[name] / walls[OURS])), 2)
        if name in agreements:
            fact["agreement"] = agreements[name]
    for sentence in missing:
        console.print(sentence, markup=False)
    others = {name: fact["times_ours"] for name, fact in facts.items() if name != OURS}
    best = min(others, key=others.get)
    usual = others["keras.applications, keras predict"]
    console.print(
        f"Target: 8 times less than keras.applications' predict: {usual:.1f}; the best of the others is {best}: {others[best]:.2f}."
    )
    return {"batches": facts, "single": single(runners, images) if size == "atto" else None}


def check(answers: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Refuse engines that compute something else; the agreement (0..1) of those that round with ours in labels."""
    expected = answers[OURS]
    agreements = {}
    for name, logits in answers.items():
        if name in ROUGH:
            agreements[name] = float((logits.argmax(1) == expected.argmax(1)).mean())
            assert agreements[name] >= AGREEMENT, (
                f"{name} agrees with ours in {agreements[name]:.2f} of the labels only"
            )
        elif name in OTHER_WEIGHTS:
            assert logits.shape == expected.shape, name
        else:
            np.testing.assert_allclose(logits, expected, atol=TOLERANCE, err_msg=name)
    return agreements


def single(runners: Mapping[str, Batch], images: np.ndarray, calls: int = CALLS) -> dict[str, dict[str, float]]:
    """Milliseconds by the clock of one image a call; prints a table, name -> p50_ms, p95_ms."""
    walls: dict[str, np.ndarray] = {}
    with muffled():
        for function in runners.values():
            function(images[:1])
        turns.take(runners, images[:1], rounds=calls, walls=walls)
    found = {
        name: {"p50_ms": round(float(np.median(wall)), 2), "p95_ms": round(float(np.percentile(wall, 95)), 2)}
        for name, wall in sorted(walls.items(), key=lambda item: float(np.median(item[1])))
    }
    grid = Table("One image a call", title=f"Milliseconds by the clock, {calls} calls", title_justify="left")
    for column in ("median", "95th percentile"):
        grid.add_column(column, justify="right")
    for name, fact in found.items():
        grid.add_row(name, f"{fact['p50_ms']:.1f}", f"{fact['p95_ms']:.1f}", style="bold green" if name == OURS else "")
    console.print(grid)
    return found


def first_answers(folder: Path, names: list[str], starts: int = STARTS) -> dict[str, dict[str, float]]:
    """Seconds of a fresh process up to its first answer; prints a table, name -> cpu_s, wall_s (the fastest of `starts`)."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    threads = {"TF_NUM_INTRAOP_THREADS": str(THREADS)}  # as the other engines
    environment = processes.environment() | {"TF_CPP_MIN_LOG_LEVEL": "3", **threads}
    for _ in range(starts):
        for name in names:
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            command = [sys.executable, "-m", "build.bench.engines", name, str(folder)]
            subprocess.run(command, check=True, env=environment, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            spent[name].append((cpu, time.perf_counter() - began))
    found = {
        name: {"cpu_s": round(min(cpu for cpu, _ in pairs), 2), "wall_s": round(min(wall for _, wall in pairs), 2)}
        for name, pairs in sorted(spent.items(), key=lambda item: min(item[1]))
    }
    grid = Table("A fresh process's first answer", title=f"Fastest of {starts} starts", title_justify="left")
    for column in ("cpu-s", "s by the clock"):
        grid.add_column(column, justify="right")
    for name, fact in found.items():
        style = "bold green" if name == OURS else ""
        grid.add_row(name, f"{fact['cpu_s']:.1f}", f"{fact['wall_s']:.1f}", style=style)
    console.print(grid)
    return found


def contenders(size: str, folder: Path) -> tuple[dict[str, Batch], list[str]]:
    """Write the engines' files into `folder`; name -> function of images, and a sentence for each engine that is absent."""
    spec = complete(
        {"network": "convnext", "size": size, "classes": len(contract.CLASSES), "image_shape": contract.IMAGE_SHAPE}
    )
    names, missing = [], []
    for name, (_, _, needs) in ENGINES.items():
        absent = [module for module in needs.split() if importlib.util.find_spec(module) is None]
        if absent:
            missing.append(f"{name}: not measured, since {absent[0]} is not installed here.")
        elif name not in OTHER_WEIGHTS or size == "atto":
            names.append(name)
    grouped = grouped_convnext(size, spec["classes"])
    arrays = convnext_arrays(grouped, size)
    grouped.save(folder / "grouped.keras")
    weights.save(
        folder / "weights.npz", arrays, {"spec": {**spec, "image_shape": list(spec["image_shape"])}}, storage="float32"
    )
    if "LiteRT float32" in names:
        exported.write_litert(arrays, spec, folder / "float32.tflite", int8=False)
        exported.write_litert(arrays, spec, folder / "int8.tflite", int8=True)
    if "ONNX Runtime float32" in names:
        exported.write_onnx(arrays, spec, folder / "float32.onnx")
        exported.write_onnx_int8(folder / "float32.onnx", folder / "int8.onnx")
    runners: dict[str, Batch] = {}
    for name in names:
        try:
            runners[name] = start(name, folder)
            runners[name](np.zeros((1, *contract.IMAGE_SHAPE), np.uint8))
        except (EOFError, ConnectionError):
            missing.append(f"{name}: not measured, since its process ended while it loaded or compiled.")
            runners.pop(name, None)
    depthwise = build(spec, initialize=False)
    assign(depthwise, arrays)
    return {**runners, "our layers (DepthwiseConv2D), tf.function": traced(depthwise)}, missing


def grouped_convnext(size: str, classes: int, side: int = contract.IMAGE_SHAPE[0]) -> keras.Model:
    """The ConvNeXt of keras.applications, also in sizes that it does not offer, with weights that no part hides."""
    from keras.src.applications.convnext import ConvNeXt  # the public functions have tiny and up only

    depths, widths = SIZES[size]
    model = ConvNeXt(
        depths=list(depths),
        projection_dims=list(widths),
        input_shape=(side, side, 3),
        classes=classes,
        classifier_activation=None,
        name=f"convnext_{size}",
    )
    rng = np.random.default_rng(1)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if len(shape) > 1:
            variable.assign(rng.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape))
        else:
            # A LayerScale of 1e-6, as it begins, would leave the blocks unseen in the logits.
            variable.assign(rng.uniform(0.5, 1.0, shape) if variable.name in ("gamma", "variable") else np.zeros(shape))
    return model
