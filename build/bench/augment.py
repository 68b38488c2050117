"""AugMix beside its peers, and the throughput of the whole augmentation: `python -m build.bench augment`.

Processor milliseconds an image (user and system time of the process, all its threads) at 96x96 in batches of 64,
severity 3, 3 chains of depth 1..3 from the paper's nine operations, drawing included. All contenders take turns in every
round; a figure is the median of the rounds, a ratio the median of the rounds' ratios. keras_cv, keras and torchvision are
measured where they are installed. Results also go to runs/bench/augment.json.

Expected on two cores of an EPYC 9004: ours 0.13, Pillow 0.8, keras_cv 1.8.
"""

from collections.abc import Callable

import numpy as np
from rich.table import Table

from build.augment import augmix
from build.augment.pipeline import Augmentation
from build.augment.settings import bare
from build.bench import turns
from build.bench.paper_augmix import with_opencv, with_pillow
from build.console import console, muffled
from build.data import synthetic
from build.recipes import find

BATCH, SIDE, ROUNDS = 64, 96, 15
PAPER = {"severity": 3.0, "alpha": 1.0, "width": 3, "depth": 0}
TARGET = 0.2
"""Processor milliseconds an image that AugMix may take, so that two cores feed a GPU at 10,000 images/s."""
BUSY = 0.7
"""Load for each core from which the table says that wall times are not to be trusted."""
Batch = Callable[[np.ndarray], object]


def main() -> None:
    """Measure, print two tables, write runs/bench/augment.json."""
    advice = "processor times hold, images a second by the trainer are too low"
    begun = turns.begin(f"Augmentation of {BATCH} images at {SIDE}x{SIDE}", advice=advice, busy=BUSY)
    images = cells(BATCH)
    turns.save("augment", begun | {"augmix": compare(images), "batches": throughput(images)})


def cells(count: int) -> np.ndarray:
    """(count, 96, 96, 3) uint8 synthetic cells, always the same."""
    return synthetic.cells(range(count), seed=0)[0]


# --- AugMix side by side ----------------------------------------------------------------------------------------------


def compare(images: np.ndarray) -> dict:
    """Time every contender that is installed on (B, H, W, 3) uint8 images and print the table."""
    contenders: dict[str, Batch] = {}
    draws, missing = {}, []
    for make in (ours, paper_in_opencv, paper_in_pillow, torchvision_images, torchvision_batch, keras_layers, keras_cv):
        try:
            with muffled():
                name, drawn, function = make()
                function(images)  # traces, allocates, imports lazily
        except ImportError as error:
            missing.append(f"{make.__name__}: not measured, since {error.name or error} is not installed here.")
        else:
            contenders[name], draws[name] = function, drawn
    spent = turns.take(contenders, images, rounds=ROUNDS)
    facts = turns.table(spent, ours="ours", head="AugMix", digits=3, remarks=("draws", draws))
    for sentence in missing:
        console.print(sentence)
    reached = facts["ours"]["cpu_ms"]
    console.print(
        f"Target: at most {TARGET} cpu-ms an image: {'met' if reached <= TARGET else '[red]missed[/]'} ({reached:.3f})."
    )
    return facts


def ours() -> tuple[str, str, Batch]:
    """build.augment.augmix."""
    rng = np.random.default_rng(0)
    return "ours", "an image", lambda images: augmix.augmix(images, **PAPER, rng=rng)


def paper_in_pillow() -> tuple[str, str, Batch]:
    """The paper, operation by operation."""
    rng = np.random.default_rng(0)
    return (
        "the paper in Pillow",
        "an image",
        lambda images: with_pillow(images, augmix.draw(len(images), **PAPER, rng=rng)),
    )


def paper_in_opencv() -> tuple[str, str, Batch]:
    """A plain port of the paper."""
    rng = np.random.default_rng(0)
    return (
        "the paper in OpenCV",
        "an image",
        lambda images: with_opencv(images, augmix.draw(len(images), **PAPER, rng=rng)),
    )


def _torchvision():
    import torch
    from torchvision.transforms import v2

    torch.set_num_threads(1)  # its spinning threads would be counted against it
    return torch, v2.AugMix(severity=3, mixture_width=3, chain_depth=-1, alpha=1.0, all_ops=False)


def torchvision_images() -> tuple[str, str, Batch]:
    """torchvision.transforms.v2.AugMix called for each image, as its data sets do."""
    torch, layer = _torchvision()

    def run(images: np.ndarray) -> list:
        return [layer(tensor) for tensor in torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()]

    return "torchvision, by image", "an image", run


def torchvision_batch() -> tuple[str, str, Batch]:
    """torchvision.transforms.v2.AugMix called once for the batch."""
    torch, layer = _torchvision()
    return (
        "torchvision, by batch",
        "a batch",
        lambda images: layer(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()),
    )


def keras_layers() -> tuple[str, str, Batch]:
    """keras.layers.AugMix called eagerly: mapped by tf.data its operations would be frozen at the first trace."""
    import keras

    layer = keras.layers.AugMix((0, 255), num_chains=3, chain_depth=3, factor=0.3, alpha=1.0, all_ops=False)
    return (
        "keras.layers",
        "a batch",
        lambda images: np.asarray(layer(images.astype(np.float32), training=True)),
    )


def keras_cv() -> tuple[str, str, Batch]:
    """keras_cv.layers.AugMix in a tf.function, as tf.data would run it."""
    import keras_cv
    import tensorflow as tf

    layer = keras_cv.layers.AugMix((0, 255), severity=0.3, num_chains=3, chain_depth=[1, 3], alpha=1.0)
    run = tf.function(lambda images: layer(images, training=True))
    return "keras_cv", "an image", lambda images: run(tf.constant(images, tf.float32)).numpy()


# --- The whole augmentation of a recipe -------------------------------------------------------------------------------


def throughput(images: np.ndarray) -> dict:
    """Time whole training batches, every third image a balancing copy, alone and through the trainer; print the table."""
    podium = find("podium")
    variants = {
        "podium": podium,
        "report-convnext": find("report-convnext"),
        "AugMix alone": bare(podium, name="augmix", augmix_probability=1.0),
    }
    labels = np.arange(len(images)) % 8
    table = Table(
        "recipe", title="Whole training batches; wall time of the trainer's two threads", title_justify="left"
    )
    for head in ("cpu-ms an image", "images/s a core", "images/s, trainer"):
        table.add_column(head, justify="right", no_wrap=True)

    def batches(recipe) -> Batch:
        augmentation, rng = Augmentation(recipe, classes=8), np.random.default_rng(0)
        copy = np.arange(len(images)) % 3 == 0 if recipe.balance in ("augment", "both") else None
        return lambda images: augmentation.batch(images, labels, copy, rng=rng)

    rounds = turns.take({name: batches(recipe) for name, recipe in variants.items()}, images, rounds=ROUNDS)
    facts = {}
    for name, recipe in variants.items():
        milliseconds = float(np.median(rounds[name]))
        fed = trainer_speed(recipe, images, labels)
        table.add_row(name, f"{milliseconds:.3f}", f"{1000 / milliseconds:,.0f}", f"{fed:,.0f}")
        facts[name] = {"cpu_ms": round(milliseconds, 4), "trainer_images_s": round(fed)}
    console.print(table)
    return facts


def trainer_speed(recipe, images: np.ndarray, labels: np.ndarray, *, batches: int = 60) -> float:
    """Images a second of wall time that the trainer's PyDataset hands out with two threads; of five epochs the fastest,
    which the machine's other work disturbed least.
    """
    from build.train.batches import Batches
    from build.train.streams import TRAIN

    rows = np.resize(np.arange(len(images)), batches * BATCH)
    copy = np.arange(len(rows)) % 3 == 0 if recipe.balance in ("augment", "both") else None
    return turns.images_a_second(
        lambda epoch: Batches(
            images,
            labels,
            rows,
            copy=copy,
            augmentation=Augmentation(recipe, classes=8),
            batch=BATCH,
            seed=0,
            stream=TRAIN,
            epoch=epoch,
            shuffle=True,
        ),
        epochs=5,
    )
