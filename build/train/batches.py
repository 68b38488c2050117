"""Batches for keras' fit on any backend: NumPy and OpenCV in threads, no framework in the input pipeline.

    batches = Batches(cells.images, cells.labels, rows, augmentation=augmentation, batch=64, seed=0, stream=TRAIN, epoch=3)
    model.fit(feed(batches))

Batch i of epoch e is made from its own generator (seed, stream, e, i), so it is the same however many threads there are, after a
resume, and on every backend. A large training batch is made in parts, each from a generator of its own (seed, stream, e, i, part): a
host of several makes its parts only, and all of them together make what a single one does.
"""

from typing import Protocol

import numpy as np

from build.errors import UserError
from build.train.feed import ReadAhead
from build.train.hosts import Hosts
from build.train.losses import VIEWS
from build.train.streams import SHUFFLE, generator

PART_IMAGES = 32
MOST_PARTS = 64
"""A training batch has as many parts as a power of two can, of at least so many images. Fixed, so that no number of hosts matters;
not smaller, as the pipeline works on whole parts and gets slower with their number."""


class Augments(Protocol):
    """What is asked of an augmentation (build/augment/pipeline.py)."""

    def batch(
        self, images: np.ndarray, labels: np.ndarray, copy: np.ndarray, *, rng: np.random.Generator, side: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Images (B, H, W, 3) uint8, labels (B,) -> x (B or 3B, side, side, 3) uint8, y (B or 3B, K) float32."""


class Plain:
    """No augmentation: only the labels become one-hot."""

    def __init__(self, classes: int):
        self.classes = classes

    def batch(self, images, labels, copy, *, rng, side):  # noqa: ARG002 - the interface of an augmentation
        """The images as they are, (B, H, W, 3) uint8, and one-hot labels (B, K) float32."""
        return images, np.eye(self.classes, dtype=np.float32)[labels]


def check_shares(batch: int, hosts: Hosts) -> None:
    """UserError where a batch does not have a whole number of parts for each host."""
    parts = parts_of(batch)
    if parts % hosts.count:
        power = hosts.count & (hosts.count - 1) == 0 and hosts.count <= MOST_PARTS
        larger = f"a recipe with a batch of {PART_IMAGES * hosts.count} or a multiple of it, or fewer hosts"
        raise UserError(
            f"A batch of {batch} images has {parts} parts of {batch // parts}, which {hosts.count} hosts cannot share evenly; "
            f"take {larger if power else f'a power of two of hosts, at most {MOST_PARTS}'}."
        )


def parts_of(batch: int) -> int:
    """Number of parts of a training batch: 4 for 128 images, 1 below 64 or for an odd number."""
    parts = 1
    while parts < MOST_PARTS and batch % (2 * parts) == 0 and batch // (2 * parts) >= PART_IMAGES:
        parts *= 2
    return parts


class Batches(ReadAhead):
    """One epoch. Only the rows of a batch are ever copied from `images`, which may be a memory map.

    Items are x uint8 (B, side, side, 3), or (B, 3, side, side, 3) with views so that a batch can be cut between GPUs, and y
    float32 (B, K).
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        rows: np.ndarray,
        *,
        augmentation: Augments,
        batch: int,
        seed: int,
        stream: int,
        epoch: int = 0,
        copy: np.ndarray | None = None,
        side: int | None = None,
        shuffle: bool = False,
        limit: int | None = None,
        workers: int = 2,
        hosts: Hosts | None = None,
    ):
        """Describe the epoch; nothing is read yet.

        Args:
            images: (N, H, W, 3) uint8.
            labels: (N,) integers in 0..K-1.
            rows: (m,) rows of `images` that make up the epoch, repeats allowed.
            augmentation: what makes a training batch of them.
            batch: images a batch, not counting views.
            seed: of everything drawn.
            stream: the purpose, one of build/train/streams.py's.
            epoch: counted from 0.
            copy: (m,) bool, the rows that the copies' AugMix comes on top of (build/augment/balance.py); None for none.
            side: image side in pixels; None keeps the size.
            shuffle: a fresh order every epoch, and whole batches only (the rest comes first or last in another epoch);
                without it the order stays and the last batch may be smaller.
            limit: at most so many batches.
            workers: threads.
            hosts: the processes that share the work, None for this one alone. With `shuffle` each gets its contiguous slice of every
                batch; without it every n-th whole batch.

        Raises UserError if a batch does not have a whole number of parts for each host.

        """
        super().__init__(workers)
        rows = np.asarray(rows)
        copy = np.zeros(len(rows), bool) if copy is None else np.asarray(copy)
        self.images, self.labels, self.augmentation = images, labels, augmentation
        self.seed, self.stream, self.epoch, self.side = seed, stream, epoch, side
        self.batch = min(batch, len(rows))
        hosts = hosts or Hosts()
        if shuffle:
            check_shares(self.batch, hosts)
        self.parts = parts_of(self.batch) if shuffle else 1
        order = generator(seed, SHUFFLE, epoch).permutation(len(rows)) if shuffle else np.arange(len(rows))
        self.count = len(rows) // self.batch if shuffle else -(-len(rows) // self.batch)
        if limit is not None:
            self.count = min(self.count, limit)
        self.rows, self.copy = rows[order], copy[order]
        share = self.parts // hosts.count
        self.own_parts = range(share * hosts.index, share * (hosts.index + 1)) if shuffle else range(1)
        self.own = range(self.count) if shuffle else range(hosts.index, self.count, hosts.count)

    def __len__(self) -> int:
        return len(self.own)

    @property
    def images_made(self) -> int:
        """Images of this host's batches, in all."""
        size, rows = self.batch // self.parts * len(self.own_parts), len(self.rows)
        return sum(min(size, rows - index * self.batch) for index in self.own)

    def make(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Make this host's batch `index`, or its slice of it, in the calling thread."""
        index = self.own[index]
        if self.parts == 1:
            start = index * self.batch
            return self._make(slice(start, start + self.batch), generator(self.seed, self.stream, self.epoch, index))
        made, size = [], self.batch // self.parts
        for part in self.own_parts:
            start = index * self.batch + part * size
            rng = generator(self.seed, self.stream, self.epoch, index, part)
            made.append(self._make(slice(start, start + size), rng))
        x, y = zip(*made, strict=True)
        return np.concatenate(x), np.concatenate(y)

    def _make(self, chosen: slice, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        rows = self.rows[chosen]
        x, y = self.augmentation.batch(
            np.asarray(self.images[rows]),
            self.labels[rows],
            self.copy[chosen],
            rng=rng,
            side=self.side,
        )
        views = len(x) // len(rows)
        assert len(x) == views * len(rows)
        assert views in (1, VIEWS)
        if views > 1:
            x = np.ascontiguousarray(x.reshape(views, len(rows), *x.shape[1:]).swapaxes(0, 1))
            y = y[: len(rows)]
        return x, y
