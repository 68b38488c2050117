"""Learning curves of a run as one picture: loss, accuracies, learning rate, resolution."""

import itertools
from pathlib import Path

from build.files import atomic


def draw(history: list[dict], path: Path, title: str, *, best: int) -> None:
    """Draw the history (one dict an epoch, as in history.csv) into a PNG; nothing for an empty history. `best` is the epoch whose
    weights are kept."""
    if not history:
        return
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    style = {"marker": "." if len(epochs) < 40 else None, "linewidth": 1.4}
    loss.plot(epochs, [row["loss"] for row in history], label="training", **style)
    loss.plot(epochs, [row["validation_loss"] for row in history], label="validation", **style)
    loss.set(title="loss", ylim=(0, None))
    for column, label in (
        ("accuracy", "training (augmented)"),
        ("validation_accuracy", "validation, clean"),
        ("perturbed_accuracy", "validation, perturbed"),
    ):
        accuracy.plot(epochs, [row[column] for row in history], label=label, **style)
    accuracy.axvline(best, color="grey", linestyle=":", linewidth=1, label=f"best: epoch {best}")
    accuracy.set(title="accuracy", ylim=(0, 1))
    rate.plot(epochs, [row["learning_rate"] for row in history], color="tab:purple", **style)
    rate.set(title="learning rate after the epoch", ylim=(0, None))
    changes = [
        row
        for before, row in itertools.pairwise(history)
        if (before["phase"], before["side"]) != (row["phase"], row["side"])
    ]
    for axis in (loss, accuracy, rate):
        for row in changes:
            axis.axvline(row["epoch"] - 0.5, color="silver", linewidth=1, linestyle="--", zorder=0)
        axis.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.xaxis.get_major_locator().set_params(integer=True)
    for row in [history[0], *changes]:
        # Not part of the layout: a text at the edge would squeeze the axes.
        loss.annotate(
            f"{row['phase']}, {row['side']} px",
            (row["epoch"] - 0.5, 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=7,
            rotation=90,
            va="bottom",
        ).set_in_layout(False)
    for axis in (loss, accuracy):
        axis.legend(fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10, parse_math=False)
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=110)
