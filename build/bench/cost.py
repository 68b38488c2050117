"""What a recipe's training costs: `python -m build.bench cost`.

Counted, not measured: multiplications of the network's convolutions and products for an image, times the images of all epochs, with the
copies that balance classes: two operations each, one pass forward and, for the layers that learn in a phase, two back. From that an
ESTIMATE of the minutes on a GPU, at a share of its peak in bfloat16: convolutional networks of this kind with depthwise layers are bound
by memory and reach about 5 % of it (Liu et al. 2022, table 12: ConvNeXt-T predicts 1,944 images/s of 9 GFLOP on an A100, 6 %). Results
also go to runs/bench/cost.json.
"""

import math

import keras
import numpy as np
from rich.table import Table

from build.augment.balance import plan
from build.bench import turns
from build.console import console, muffled
from build.data.synthetic import SHARES
from build.recipe import IMAGE_SIDE, Recipe
from build.recipes import RECIPES
from build.train import schedule
from build.train.classifier import set_learning, spec_of
from build.train.hardware import Decision, Machine, decide
from submission import contract
from submission.network import build, kernels, leaves

TRAINING_CELLS = 9_563
"""Of the replica's training side."""
PEAKS = {"T4": 65e12, "A100": 312e12, "H100": 989e12}
"""Operations a second on tensor cores, without sparsity, by the makers' data sheets (T4: float16, others: bfloat16)."""
SHARE = 0.05
GPUS = {
    name: Machine("tensorflow", 8, (name,), gib, capability)
    for name, gib, capability in (("T4", 15.0, (7, 5)), ("A100", 40.0, (8, 0)), ("H100", 80.0, (9, 0)))
}


def main() -> None:
    """Count every recipe on its machine, print a table, write runs/bench/cost.json."""
    facts = {}
    grid = Table("recipe", title="Cost of a training on 9,563 cells; GPU minutes are estimates", title_justify="left")
    for column in ("network", "weights", "GFLOP", "epochs", "PFLOP", *PEAKS):
        grid.add_column(column, justify="right", no_wrap=True)
    for recipe in RECIPES.values():
        if recipe.ensemble:
            continue  # costs the sum of its members
        facts[recipe.name] = fact = cost(recipe)
        minutes = [
            (f"{minutes:.0f}" if minutes >= 1 else "<1") + (f" ({size})" if size != fact["size"] else "")
            for minutes, size in fact["cards"].values()
        ]
        numbers = (
            f"{fact['parameters'] / 1e6:.1f} M",
            f"{fact['gflop']:.2f}",
            str(fact["epochs"]),
            f"{fact['pflop']:.1f}",
        )
        grid.add_row(recipe.name, fact["network"], *numbers, *minutes)
    console.print(grid)
    console.print("GFLOP: the prediction of one image; PFLOP: the whole training.")
    console.print(f"Minutes at {SHARE:.0%} of each card's peak, the recipe's largest number of epochs, one card.")
    turns.save("cost", facts)


def cost(recipe: Recipe) -> dict:
    """Network, parameters, GFLOP of one image's prediction at full size, PFLOP of the training: of the size that an A100 trains.

    "cards": GPU name -> minutes (an estimate) of the size that this card trains, and that size.
    """
    counted = {name: _count(recipe, decide(recipe, machine)) for name, machine in GPUS.items()}
    return counted["A100"] | {
        "cards": {
            name: (round(fact["pflop"] * 1e15 / (SHARE * PEAKS[name]) / 60, 2), fact["size"])
            for name, fact in counted.items()
        }
    }


def _count(recipe: Recipe, decision: Decision) -> dict:
    spec = spec_of(recipe, decision, classes=len(contract.CLASSES), image_shape=contract.IMAGE_SHAPE, seed=0)
    with muffled():
        network = build(spec, initialize=False)
    gflop = 2 * multiplications(network) / 1e9
    done = gflop * recipe.epochs  # times the epochs: forward, and back for what learns in each phase
    for phase in schedule.phases_of(recipe, pretrained=decision.weights != "none", total=recipe.epochs):
        set_learning(network, phase.name, recipe.fine_tune_layers)
        done += 2 * phase.epochs * 2 * multiplications(network, learning=True) / 1e9
    # A resolution costs as the area does; with a consistency loss every image passes three times.
    area = sum(share * (pixels / IMAGE_SIDE) ** 2 for pixels, share in recipe.resolutions)
    passes = 3 if recipe.jsd_weight > 0 else 1
    pflop = done * area * passes * images_an_epoch(recipe) / 1e6
    keras.utils.clear_session()
    return {
        "network": f"{recipe.network} {decision.size}" if "size" in spec else recipe.network,
        "size": spec.get("size", ""),
        "parameters": int(network.count_params()),
        "gflop": round(gflop, 3),
        "epochs": recipe.epochs,
        "pflop": round(pflop, 2),
    }


def images_an_epoch(recipe: Recipe) -> float:
    """Training cells and the copies that balance their classes."""
    labels = np.repeat(np.arange(len(SHARES)), list(SHARES.values()))
    shown = plan(labels, recipe, rng=np.random.default_rng(0), classes=len(SHARES))
    return TRAINING_CELLS * len(shown.rows) / len(labels)


def multiplications(network: keras.Model, *, learning: bool = False) -> int:
    """Of one image through all convolutions and products of a network with fixed sides; with `learning` of those that learn."""
    owners = {id(weight): layer for layer in leaves(network) for weight in layer.weights}
    total = 0
    for kernel in kernels(network).values():
        output = owners[id(kernel)].output.shape
        if kernel.trainable or not learning:
            total += math.prod(output[1:-1]) * math.prod(kernel.shape)
    return total
