"""Whether there is a GPU, and one sentence for each error of it and its libraries: for the trainer, studies and the command line.

    with troubles_told():
        model.fit(...)

No framework is imported here, but by `has_gpu` where the driver is there.
"""

import contextlib
import os
from collections.abc import Iterator

from build.console import muffled
from build.errors import UserError
from build.machine import nvidia_smi, pip_install

OUT_OF_MEMORY = ("ResourceExhaustedError", "RESOURCE_EXHAUSTED")
"""TensorFlow has a class of its own for it, JAX a word in the message."""
ON_CPU = "on the CPU with CUDA_VISIBLE_DEVICES=-1 JAX_PLATFORMS=cpu"
JAX_FOR_GPUS = pip_install("jax[cuda12]")
TROUBLES = (
    (
        (*OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"),
        "The device's memory does not suffice; close other programs on it (nvidia-smi lists them), or take fewer images "
        "a step or a smaller network (train --set batch=32 or --size tiny, pretrain --batch 32).",
    ),
    (
        ("No valid config found", "Autotuning failed", "No algorithm worked", "best cudnn convolution"),
        "cuDNN has no algorithm for one of the network's convolutions in this precision; take train --set xla=off, or --set "
        "precision=float32.",
    ),
    (
        ("CUDNN_STATUS", "DNN library"),
        "cuDNN does not start on this GPU: its memory is taken (nvidia-smi tells), or LD_LIBRARY_PATH names another cuDNN; correct that, "
        f"or work {ON_CPU}.",
    ),
    (
        ("CUDA_ERROR_INVALID", "no kernel image"),
        f"This TensorFlow has no kernels for this GPU; train under JAX ({JAX_FOR_GPUS}, then KERAS_BACKEND=jax) or work {ON_CPU}.",
    ),
)
"""Words of an error, its class among them -> what to do."""


def has_gpu() -> bool:
    """Whether the framework sees a GPU; it is asked only where the driver is there, as that takes seconds."""
    if not nvidia_smi():
        return False
    if os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES"):
        return True  # JAX refuses to meet other hosts once it has looked at a device
    with muffled():
        from build.train import hardware

        return bool(hardware.find().gpus)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a GPU's memory did not suffice."""
    return any(word in _named(error) for word in OUT_OF_MEMORY)


def is_trouble(error: BaseException | None) -> bool:
    """Whether `troubles_told` has a sentence for it: then the machine, or what else runs on it, is at fault and not the training."""
    return error is not None and _sentence(error) is not None


def _sentence(error: BaseException) -> str | None:
    return next((sentence for words, sentence in TROUBLES if any(word in _named(error) for word in words)), None)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def troubles_told() -> Iterator[None]:
    """What a GPU and its libraries can refuse, wherever they are first used, is a UserError with one sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # the backends' own classes have nothing in common
        if sentence := _sentence(error):
            raise UserError(sentence) from error
        raise
