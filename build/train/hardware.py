"""What machine this is, and what follows from it: network size, weights, precision, XLA. Decided once, printed, recorded.

machine = find()
decision = decide(recipe, machine)
console.print(describe(recipe, machine, decision))
"""

import contextlib
import subprocess
from collections.abc import Collection
from dataclasses import dataclass

import keras

from build.errors import UserError
from build.gpu_troubles import JAX_FOR_GPUS
from build.machine import check_backend, cores, multiplies_bfloat16, nvidia_smi
from build.pretrain import shipped
from build.recipe import Recipe
from build.train import pretrained
from submission.network import MADE_OF_PARTS

BASE_GPU_GIB = 20
"""GPU memory from which ConvNeXt base is fine-tuned rather than tiny, an estimate: 2 GB of weights and moments, and of 64 images of 192
pixels in half precision 0.44 GB for each copy of what its 36 blocks take in, 14 copies with XLA and at most 36 without: 8 to 18 GB."""
SIZED = ("convnext", "efficientnet-lite")
"""Networks that come in sizes."""
BFLOAT16_CAPABILITY = (8, 0)
FLOAT16_CAPABILITY = (7, 0)
"""CUDA compute capabilities from which tensor cores take these types."""
GPU_STEPS_PER_EXECUTION = 16
LEAST_SHARE = 16
"""Images a step that are worth a GPU of their own: fewer are bound by kernel launches, and batch norms would take their statistics."""
BFLOAT16_PRODUCTS = "bfloat16_products"
"""A precision: all float32 but the products of pointwise layers and what lies between them (build/train/bfloat16_layers.py)."""
PRECISIONS = ("float32", BFLOAT16_PRODUCTS, "mixed_bfloat16", "mixed_float16")
PRECISION_IN_WORDS = {BFLOAT16_PRODUCTS: "float32 with products in bfloat16"}


@dataclass(frozen=True)
class Machine:
    """The devices that the framework sees."""

    backend: str
    cores: int
    gpus: tuple[str, ...] = ()
    gpu_gib: float = 0.0
    """Memory of the smallest GPU; 0 where unknown."""
    capability: tuple[int, int] = (0, 0)
    """CUDA compute capability, the lowest of the GPUs; (0, 0) where unknown."""
    multiplies_bfloat16: bool = False
    """Whether the CPU has units for products of bfloat16 matrices."""
    unseen_gpu: bool = False
    """Whether NVIDIA's driver is there, and the framework sees no GPU."""

    @property
    def device(self) -> str:
        """One line for people."""
        if not self.gpus:
            return f"CPU, {self.cores} cores"
        memory = f", {self.gpu_gib:.0f} GiB" if self.gpu_gib else ""
        return f"{len(self.gpus)} x {self.gpus[0]}{memory}, {self.cores} cores"


@dataclass(frozen=True)
class Decision:
    """What a run uses where the recipe says "auto"."""

    size: str
    weights: str
    precision: str
    xla: bool
    steps_per_execution: int
    workers: int
    """Threads that make batches."""
    threads: int
    """TensorFlow's threads within an operation. Sums are split among them, so the same bits need the same number."""
    replicas: int
    fast_layers: bool = False
    """Whether the layers of build/train/fast_layers.py take the place of Keras' own."""

    @property
    def policy(self) -> str:
        """Keras' name of the precision that layers are built in."""
        return "float32" if self.precision == BFLOAT16_PRODUCTS else self.precision


def find() -> Machine:
    """Look at the machine through the backend in use."""
    backend = keras.backend.backend()
    check_backend(backend)
    if backend == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(device) for device in devices]
        names = tuple(str(detail.get("device_name", "GPU")) for detail in details)
        capability = min((detail.get("compute_capability") or (0, 0) for detail in details), default=None)
    else:
        import jax

        devices = [device for device in jax.devices() if device.platform == "gpu"]
        names = tuple(device.device_kind for device in devices)
        found = getattr(devices[0], "compute_capability", None) if devices else None
        capability = tuple(int(part) for part in str(found).split(".")) if found else None
    return Machine(
        backend,
        cores(),
        names,
        _gpu_gib(names) if names else 0.0,
        tuple(capability or (0, 0)),
        multiplies_bfloat16(),
        unseen_gpu=not names and nvidia_smi() is not None,
    )


def _gpu_gib(names: Collection[str]) -> float:
    """Memory of the smallest GPU of these names by the driver's own tool: asking the framework would reserve it.

    The tool also shows cards that CUDA_VISIBLE_DEVICES hides from the framework; where no name fits, all count.
    """
    if any("MIG" in name for name in names):  # a slice of a card, whose memory this tool shows as the whole card's
        return 0.0
    command = (nvidia_smi() or "nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        cards = [line.rpartition(",") for line in done.stdout.splitlines() if line.strip()]
        seen = [memory for name, _, memory in cards if name.strip() in names] or [memory for _, _, memory in cards]
        return min(map(float, seen)) / 1024
    return 0.0


def decide(recipe: Recipe, machine: Machine) -> Decision:
    """Settle what the recipe leaves to the hardware. Raises UserError if a setting is none of the known words."""
    gpu = bool(machine.gpus)
    if recipe.precision not in ("auto", *PRECISIONS):
        raise UserError(f"Expected precision auto, {', '.join(PRECISIONS)} in the recipe, got {recipe.precision!r}.")
    if recipe.xla not in ("auto", "on", "off"):
        raise UserError(f"Expected xla auto, on or off in the recipe, got {recipe.xla!r}.")
    size = recipe.size
    if size == "auto" and recipe.network == "efficientnet-lite":
        size = "lite2" if gpu else "lite0"
    elif size == "auto":
        size = "atto" if not gpu else "base" if machine.gpu_gib >= BASE_GPU_GIB else "tiny"
    weights = recipe.weights
    if weights == "auto":
        convnext = recipe.network == "convnext"
        plain = recipe.stem_patch == 4 if convnext else recipe.width == 1
        published = plain and pretrained.is_published(recipe.network, size)
        drawn = plain and convnext and shipped.find(size) is not None
        weights = "imagenet" if gpu and published else "drawn" if drawn else "none"
    # MirroredStrategy makes its own all-reduce between replicas; XLA compiles it only as a whole, so it stays off there.
    # It shares a batch evenly, so with a number of GPUs that does not divide the batch some stay out.
    most = max(1, len(machine.gpus)) if machine.backend == "tensorflow" else 1
    shared = (number for number in range(most, 1, -1) if recipe.batch % number == 0)
    replicas = next((number for number in shared if recipe.batch // number >= LEAST_SHARE), 1)
    # JAX without its compiler would run operation by operation.
    xla = {"on": True, "off": False, "auto": machine.backend == "jax" or (gpu and replicas == 1)}[recipe.xla]
    fast_layers = machine.backend == "tensorflow" and not gpu and not xla
    has_products = fast_layers and recipe.network in MADE_OF_PARTS
    if recipe.precision == BFLOAT16_PRODUCTS and not has_products:
        raise UserError(
            f"Precision {BFLOAT16_PRODUCTS} is for ConvNeXt and EfficientNet-Lite on a CPU under TensorFlow without XLA; choose auto or "
            "another one."
        )
    return Decision(
        size=size,
        weights=weights,
        precision=recipe.precision if recipe.precision != "auto" else _precision(machine, has_products),
        xla=xla,
        # On a CPU a step takes long enough; on a GPU Python would be seen between short steps. Keras' loop of several steps breaks under
        # MirroredStrategy ("You must feed a value for placeholder tensor", github.com/keras-team/keras/issues/19246).
        steps_per_execution=GPU_STEPS_PER_EXECUTION if gpu and replicas == 1 else 1,
        workers=max(2, machine.cores - 1) if gpu else 2,
        threads=machine.cores,
        replicas=replicas,
        fast_layers=fast_layers,
    )


def _precision(machine: Machine, products: bool) -> str:
    if not machine.gpus:
        return BFLOAT16_PRODUCTS if products and machine.multiplies_bfloat16 else "float32"
    if machine.capability >= BFLOAT16_CAPABILITY:
        return "mixed_bfloat16"
    return "mixed_float16" if machine.capability >= FLOAT16_CAPABILITY else "float32"


def other_machine(known: Decision, here: Decision) -> str:
    """A sentence where a run goes on as another machine decided; else ""."""
    if (known.precision, known.xla) == (here.precision, here.xla):
        return ""
    return (
        f"The run goes on as it began, in {known.precision} with XLA {'on' if known.xla else 'off'}; a new one would take "
        f"{here.precision} with XLA {'on' if here.xla else 'off'} here."
    )


def describe(recipe: Recipe, machine: Machine, decision: Decision) -> str:
    """Sentences for people: the machine, what was decided from it, and whether a GPU is left unused."""
    network = f"{recipe.network} {decision.size}" if recipe.network in SIZED else recipe.network
    words = {
        "none": "from scratch",
        "imagenet": "with ImageNet weights",
        "drawn": "with weights learned from drawn images",
    }
    weights = words.get(decision.weights, f"with {decision.weights}")
    sized = recipe.network in SIZED and recipe.size == "auto"
    chosen = " (chosen by hardware)" if sized or recipe.weights == "auto" else ""
    precision = PRECISION_IN_WORDS.get(decision.precision, decision.precision)
    some = machine.backend == "tensorflow" and decision.replicas < len(machine.gpus)
    spared = f" on {decision.replicas} of them (one is worth {LEAST_SHARE} images a step)," if some else ""
    # keras leaves a step of TensorFlow's deterministic kernels uncompiled; JAX has none.
    off = not decision.xla or (recipe.deterministic and machine.backend == "tensorflow")
    told = (
        f"Machine: {machine.device}, keras on {machine.backend}. Training {network} {weights}{chosen}{spared or ','} {precision}, "
        f"XLA {'off' if off else 'on'}."
    )
    if machine.unseen_gpu:
        command = JAX_FOR_GPUS if machine.backend == "jax" else "nox -s install -- gpu"
        told += (
            f" NVIDIA's driver is here, but {machine.backend} sees no GPU: a CUDA library is missing ({command}) or cannot be loaded, "
            "or CUDA_VISIBLE_DEVICES hides the card."
        )
    return told


def prepare(machine: Machine, decision: Decision, *, deterministic: bool) -> None:
    """Set TensorFlow's threads, and its deterministic kernels where wanted; nothing on other backends.

    Where TensorFlow has computed already (in a test, say), its threads stay as they are.
    """
    if machine.backend != "tensorflow":
        return
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(decision.threads)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def release() -> None:
    """Let go of the networks and graphs of a training that is over, so that a process can train many."""
    keras.utils.clear_session()
