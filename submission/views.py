"""Test-time augmentation: the views of an image whose logits are averaged, and how many of them the time allows.

    for view in views(pixels, 4): ...                # (B, H, W, 3) each
    deadline = Deadline(420.0, wanted=8, expected=5000)
    count = deadline.views(images_left)   # before a batch; deadline.spend(...) after each view, deadline.answered(...) in the end

Views are made with numpy alone, so that they are the same under every framework and version.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

SYMMETRIES: tuple[tuple[bool, bool, bool], ...] = (
    # (transpose, flip the height, flip the width): the first 1, 2, 4 or 8 of them, each a subgroup of the square's
    (False, False, False),
    (False, False, True),
    (False, True, False),
    (False, True, True),
    (True, False, False),
    (True, False, True),
    (True, True, False),
    (True, True, True),
)
ZOOM = 1.15
"""Of the second eight views: the image's middle, enlarged by this factor."""
COUNTS = (1, 2, 4, 8, 16)
"""Numbers of views that can be asked for: no flip, one, both, with quarter turns, and all of that at a second scale."""
FEWER = "podium: not all views of every image, for want of time"
"""Said once on standard error, where the judge looks for it and a server keeps it."""
RECENT = 32
"""Views whose time is remembered; their median is what one more is expected to take."""


def views(pixels: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """The first `count` views (of COUNTS) of a batch (B, H, W, 3), uint8 or float32; the zoomed ones are float32.

    Each is a contiguous array. Quarter turns need H = W.
    """
    for number in range(count):
        if number == len(SYMMETRIES):
            pixels = zoomed(pixels)
        transpose, flip_height, flip_width = SYMMETRIES[number % len(SYMMETRIES)]
        view = pixels.transpose(0, 2, 1, 3) if transpose else pixels
        view = view[:, :: -1 if flip_height else 1, :: -1 if flip_width else 1]
        yield np.ascontiguousarray(view)


def zoomed(pixels: np.ndarray) -> np.ndarray:
    """The middle of each image (B, H, W, C), enlarged by ZOOM to the whole size: float32, bilinear."""
    batch, height, width, channels = pixels.shape
    rows = cropping(height, 1 / ZOOM) @ pixels.astype(np.float32).reshape(batch, height, width * channels)
    columns = rows.reshape(batch, height, width, channels).transpose(0, 2, 1, 3).reshape(batch, width, -1)
    turned = (cropping(width, 1 / ZOOM) @ columns).reshape(batch, width, height, channels)
    return np.ascontiguousarray(turned.transpose(0, 2, 1, 3))


@cache
def cropping(side: int, crop: float) -> np.ndarray:
    """(side, side) float32: pixels -> the middle `crop` of them, enlarged to `side` again, bilinear between pixel centres."""
    # Centres of pixels are at .5, as in every resize that shifts nothing.
    position = (np.arange(side) + 0.5) * crop + (1 - crop) * side / 2 - 0.5
    weight = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(side)))
    return weight.astype(np.float32)


class Deadline:
    """Lowers the number of views when all images would else not be answered in time.

    While the time suffices the number is the wanted one, so the answers do not depend on the clock then. All calls of one
    predictor share its seconds; what it waits between them does not count. One view is always made: there is an answer.
    """

    def __init__(
        self, seconds: float | None, wanted: int, *, expected: int = 0, clock: Callable[[], float] = time.monotonic
    ):
        """`seconds` that all predictions together may take (None: any), `wanted` views of COUNTS.

        `expected` images in all calls together: a server that calls with one image at a time tells of no more to come.
        """
        self.seconds, self.wanted, self.expected = seconds, wanted, expected
        self.clock = clock
        self._answered = 0
        self._spent = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._first = True
        self._told = False

    def views(self, images: int) -> int:
        """How many views the next batch gets when `images` of this call are still to be answered, the batch's own among them."""
        if self.seconds is None or not self._recent:
            return self.wanted
        left, one = self.seconds - self._spent, float(np.median(self._recent))
        images = max(images, self.expected - self._answered)
        count = max((count for count in COUNTS if count <= self.wanted and images * count * one <= left), default=1)
        if count < self.wanted and not self._told:
            self._told = True
            print(FEWER, file=sys.stderr, flush=True)
        return count

    def answered(self, images: int) -> None:
        """Note that `images` of those expected have their answer."""
        self._answered += images

    def spend(self, seconds: float, images: int) -> None:
        """Note that one view of `images` took `seconds`."""
        self._spent += seconds
        if not self._first:
            self._recent.append(seconds / images)
        # The very first call also traces the network; by it alone every deadline would look close.
        self._first = False
