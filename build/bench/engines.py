"""Prediction engines, each loaded from a file: images (B, H, W, 3) uint8 -> logits (B, classes) float32.

    predict = load("LiteRT float32", Path("model.tflite"))

`python -m build.bench.engines ENGINE FILE` predicts one image and ends: what a fresh process needs before its first answer.
Every engine gets THREADS threads. Those of other libraries work in a process of their own: PyTorch beside TensorFlow ends the process,
since both bring an LLVM, and LiteRT's runtime is in TensorFlow too.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from submission import contract

Batch = Callable[[np.ndarray], np.ndarray]
THREADS = 2
BATCH = 64


def ours(path: Path) -> Batch:
    """The predictor that ships."""
    from submission.inference import Predictor

    return Predictor(path, batch=BATCH).logits


def keras_predict(path: Path) -> Batch:
    """`model.predict` of a saved model, as most submissions call it."""
    import keras

    model = keras.models.load_model(path, compile=False)
    model.compile(jit_compile=False)
    return lambda images: model.predict(images, batch_size=BATCH, verbose=0)


def keras_function(path: Path) -> Batch:
    """A saved model in one tf.function without XLA, as a careful user would call it."""
    import keras

    return traced(keras.models.load_model(path, compile=False))


def traced(model) -> Batch:
    """A Keras model in one tf.function without XLA."""
    import tensorflow as tf

    function = tf.function(
        lambda pixels: model(tf.cast(pixels, tf.float32), training=False),
        input_signature=[tf.TensorSpec((None, *contract.IMAGE_SHAPE), tf.uint8)],
        jit_compile=False,
    )
    return lambda images: function(tf.constant(images)).numpy()


def litert(path: Path) -> Batch:
    """LiteRT's interpreter with XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=THREADS)
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    count = 0

    def predict(images: np.ndarray) -> np.ndarray:
        nonlocal count
        if count != len(images):
            count = len(images)
            interpreter.resize_tensor_input(given["index"], images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images.astype(np.float32))
        interpreter.invoke()
        return interpreter.get_tensor(answer["index"])

    return predict


def onnx(path: Path) -> Batch:
    """ONNX Runtime on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"pixels": images.astype(np.float32)})[0]


def torch_eager(path: Path) -> Batch:
    """timm's network under PyTorch, channels last."""
    return _torch(path, compiled=False)


def torch_compiled(path: Path) -> Batch:
    """The same under torch.compile (needs a C++ compiler)."""
    return _torch(path, compiled=True)


def _torch(path: Path, *, compiled: bool) -> Batch:
    import timm
    import torch

    torch.set_num_threads(THREADS)
    network = timm.create_model("convnext_atto", num_classes=len(contract.CLASSES))
    if path.exists():
        network.load_state_dict(torch.load(path, weights_only=True))
    else:
        torch.save(network.state_dict(), path)  # weights drawn at random: it is there for its speed
    network = network.eval().to(memory_format=torch.channels_last)
    statistics = (timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD)
    mean, deviation = (255 * torch.tensor(values).reshape(1, 3, 1, 1) for values in statistics)

    def forward(pixels):
        return network((pixels.permute(0, 3, 1, 2).float() - mean) / deviation)

    function = torch.compile(forward) if compiled else forward

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return function(torch.from_numpy(images)).numpy()

    return predict


ENGINES: dict[str, tuple[Callable[[Path], Batch], str, str]] = {
    # name: (loader, file, packages that it needs beside TensorFlow and Keras)
    "ours: folded, tf.function": (ours, "weights.npz", ""),
    "keras.applications, tf.function": (keras_function, "grouped.keras", ""),
    "keras.applications, keras predict": (keras_predict, "grouped.keras", ""),
    "LiteRT float32": (litert, "float32.tflite", "ai_edge_litert"),
    "LiteRT dynamic int8": (litert, "int8.tflite", "ai_edge_litert"),
    "ONNX Runtime float32": (onnx, "float32.onnx", "onnx onnxruntime"),
    "ONNX Runtime dynamic int8": (onnx, "int8.onnx", "onnx onnxruntime"),
    "timm, PyTorch eager": (torch_eager, "timm.pt", "torch timm"),
    "timm, torch.compile": (torch_compiled, "timm.pt", "torch timm"),
}
OURS = next(iter(ENGINES))
OTHER_WEIGHTS = ("timm, PyTorch eager", "timm, torch.compile")
"""Engines whose network is of the same size, but has weights of its own."""
ROUGH = ("LiteRT dynamic int8", "ONNX Runtime dynamic int8")
"""Engines that answer a little differently, since they round."""


class Remote:
    """An engine in a process of its own; EOFError from any call where that process has ended."""

    def __init__(self, name: str, folder: Path):
        """Start the process and wait until the engine is loaded."""
        context = multiprocessing.get_context("spawn")
        self._line, there = context.Pipe()
        self._process = context.Process(target=serve, args=(there, name, folder), daemon=True)
        self._process.start()
        there.close()
        self._spent = self._line.recv()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """As every engine."""
        self._line.send(images)
        logits, self._spent = self._line.recv()
        return logits

    def cpu(self) -> float:
        """Seconds of processor time that the process had spent when it last answered."""
        return self._spent


def serve(line, name: str, folder: Path) -> None:
    """Answer images that come down the line with (logits, seconds of processor time so far), until it is closed."""
    predict = load(name, folder)
    line.send(time.process_time())
    while True:
        try:
            images = line.recv()
        except EOFError:
            return
        logits = predict(images)
        line.send((logits, time.process_time()))


def load(name: str, folder: Path) -> Batch:
    """The engine of that name with its file in `folder`, in this process."""
    loader, file, _ = ENGINES[name]
    return loader(folder / file)


def start(name: str, folder: Path) -> Batch:
    """The engine of that name, in this process or in its own."""
    return Remote(name, folder) if ENGINES[name][2] else load(name, folder)


if __name__ == "__main__":
    load(sys.argv[1], Path(sys.argv[2]))(np.zeros((1, *contract.IMAGE_SHAPE), np.uint8))
    os._exit(0)  # what the libraries clear up at the end is no part of the first answer
