"""Class balance: which rows an epoch shows, which of them are AugMix copies, and how much each class counts in the
loss.

Four ways, by the recipe's `balance`: "none"; "weights" (the loss weighs classes by inverse frequency); "augment"
(copies bring minority classes to `balance_share` of the largest class, or to `balance_counts`); "both" (copies first,
weights for what imbalance is left).
"""

from dataclasses import dataclass

import numpy as np
from rich.markup import escape
from rich.table import Table

from build.errors import UserError
from build.recipe import Recipe

WAYS = ("none", "weights", "augment", "both")
COPIES, ANY = "copies", "any"


@dataclass(frozen=True)
class Plan:
    """What one epoch shows: every row once, then the copies. The trainer shuffles."""

    rows: np.ndarray
    """(m,) int64 indices into the labels."""
    copy: np.ndarray
    """(m,) bool: to be AugMix'ed with the recipe's copies_* settings: the balancing copies, or as many rows whatever they are."""
    class_weight: np.ndarray
    """(K,) float32, mean 1 over the m samples; ones unless the balance asks for weights."""
    counts_before: np.ndarray
    """(K,) int64 images of each class."""
    counts_seen: np.ndarray
    """(K,) int64 images of each class that an epoch shows, copies included."""

    def table(self, names: tuple[str, ...]) -> Table:
        """A table for the console: images, copies, seen and weight of each class."""
        table = Table("class")
        for head in ("images", "copies", "seen an epoch", "weight in the loss"):
            table.add_column(head, justify="right")
        for name, before, seen, weight in zip(
            names, self.counts_before, self.counts_seen, self.class_weight, strict=True
        ):
            table.add_row(escape(name), f"{before:,}", f"{seen - before:,}", f"{seen:,}", f"{weight:.3f}")
        table.add_section()
        table.add_row("all", f"{self.counts_before.sum():,}", f"{self.copy.sum():,}", f"{len(self.rows):,}", "1.000")
        return table

    def facts(self) -> dict[str, list]:
        """Counts and weights for a run's record, JSON-able."""
        return {
            "counts_before": self.counts_before.tolist(),
            "counts_seen": self.counts_seen.tolist(),
            "class_weight": [round(weight, 6) for weight in self.class_weight.tolist()],
        }


def plan(labels: np.ndarray, recipe: Recipe, *, rng: np.random.Generator, classes: int | None = None) -> Plan:
    """Plan an epoch over (n,) integer `labels` in 0..K-1; K is `classes`, or else the largest label + 1.

    The same generator state gives the same plan. UserError: no labels, a class without images, an unknown way to
    balance, a bad share.
    """
    labels = np.asarray(labels, np.int64)
    if recipe.balance not in WAYS:
        raise UserError(
            f"Recipe field balance is one of {', '.join(WAYS)}, got {recipe.balance!r}; correct the recipe."
        )
    if recipe.copies_augmix not in (COPIES, ANY):
        raise UserError(
            f"Recipe field copies_augmix is {COPIES} or {ANY}, got {recipe.copies_augmix!r}; correct the recipe."
        )
    if not 0 <= recipe.balance_share <= 1:
        raise UserError(
            f"Recipe field balance_share must be from 0 to 1, got {recipe.balance_share}; correct the recipe."
        )
    if not len(labels):
        raise UserError("There are no training images to balance; give a source with images of every class.")
    last = labels.max() if classes is None else classes - 1
    wrong = labels[(labels < 0) | (labels > last)]
    if len(wrong):
        raise UserError(f"Expected labels in 0..{last}, got {wrong[0]}; give data of the classes in the contract.")
    before = np.bincount(labels, minlength=classes or 0)
    if not before.all():
        empty = int(np.flatnonzero(before == 0)[0])
        raise UserError(
            f"Class {empty} has no training image, so it cannot be balanced; give a source with images of every class."
        )
    if recipe.balance_counts and len(recipe.balance_counts) != len(before):
        raise UserError(
            f"Recipe field balance_counts needs one number a class, {len(before)}, got {len(recipe.balance_counts)}."
        )

    copies = np.zeros_like(before)
    if recipe.balance in ("augment", "both"):
        share = int(np.ceil(recipe.balance_share * before.max()))
        target = np.array(recipe.balance_counts) if recipe.balance_counts else np.full(len(before), share)
        copies = np.maximum(0, target - before)
    chosen = [_in_rounds(np.flatnonzero(labels == k), int(count), rng) for k, count in enumerate(copies)]
    rows = np.concatenate([np.arange(len(labels)), *chosen])
    seen = before + copies

    weight = np.ones(len(before))
    if recipe.balance in ("weights", "both"):
        weight = len(rows) / (len(before) * seen)
    assert np.array_equal(np.bincount(labels[rows], minlength=len(before)), seen)
    assert np.isclose((weight * seen).sum(), len(rows))
    changed = np.arange(len(rows)) >= len(labels)
    if recipe.copies_augmix == ANY:
        changed = rng.permutation(changed)
    return Plan(rows, changed, weight.astype(np.float32), before, seen)


def _in_rounds(originals: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` picks of `originals`: each as often as any other, give or take one, and no image twice before all were
    picked once.
    """
    rounds, rest = divmod(count, len(originals))
    return np.concatenate([*(rng.permutation(originals) for _ in range(rounds)), rng.permutation(originals)[:rest]])
