"""Batches of drawn images for keras' fit: half painted cells in any stain, half dead leaves, all augmented, none ever twice the same.

    batches = DrawnBatches(cells, augmentation=augmentation, steps=200, batch=64, seed=0, epoch=3)
    model.fit(feed(batches))

Batch i of epoch e is drawn by its own generator (seed, e, i), whatever the number of threads.
"""

import dataclasses

import numpy as np

from build.augment.pipeline import Augmentation
from build.pretrain import formulas
from build.recipe import Recipe
from build.recipes import PODIUM
from build.train.feed import ReadAhead

CELLS = 16_000
"""Painted cells to choose from: 2.4 ms each, so they are painted once; the augmentation makes each a new one."""
CANVAS = 256
VIEWS = 16
"""Crops of one canvas, all in one batch: a canvas costs as much as seven painted cells."""


def augmentation(classes: int) -> Augmentation:
    """The default recipe's, with stains changed in half of the images: no laboratory is to be learned here."""
    return Augmentation(recipe(), classes=classes)


def recipe() -> Recipe:
    """The augmentation's settings, and the optimiser's."""
    return dataclasses.replace(
        PODIUM,
        name="pretraining",
        learning_rate=2e-3,
        surroundings_probability=0.0,  # a canvas of dead leaves has no object in its middle
        stain_probability=0.5,
        stain=0.4,
    )


class DrawnBatches(ReadAhead):
    """One epoch of images x (B, side, side, 3) uint8 and of zeros y (B,), which nothing reads."""

    def __init__(
        self,
        cells: np.ndarray,
        *,
        augmentation: Augmentation,
        steps: int,
        batch: int,
        seed: int,
        epoch: int,
        workers: int = 2,
    ):
        """cells: (N, side, side, 3) uint8, may be a memory map. batch: at least 2 images."""
        super().__init__(workers)
        self.cells, self.augmentation, self.steps, self.batch = cells, augmentation, steps, batch
        self.seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        return self.steps

    def make(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw batch `index` in the calling thread."""
        drawn = self.draw(index)
        return drawn, np.zeros(len(drawn), np.float32)

    def draw(self, index: int) -> np.ndarray:
        """The images of batch `index`, (B, side, side, 3) uint8."""
        rng = np.random.default_rng((self.seed, self.epoch, index))
        side, half = self.cells.shape[1], self.batch // 2
        drawn = np.sort(rng.choice(len(self.cells), self.batch - half))
        images = [np.asarray(self.cells[drawn])]
        for first in range(0, half, VIEWS):
            canvas = formulas.leaves(CANVAS, rng=rng)
            images.append(formulas.cut(canvas, min(VIEWS, half - first), side, rng=rng))
        together = np.concatenate(images)
        return self.augmentation.batch(together, np.zeros(len(together), np.int64), rng=rng)[0]
