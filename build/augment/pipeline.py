"""From a uint8 batch to a training batch: everything that a recipe's augmentation block asks for, drawn anew an image
and an epoch.

    augmentation = Augmentation(recipe, classes=8)
    x, y = augmentation.batch(images, labels, copy, rng=np.random.default_rng((seed, epoch, batch)))

Order: resize to the step's side, AugMix of the balancing copies, other surroundings, geometry, AugMix, stain, RandAugment, channels, random
convolution, texture, veil, degradation, holes, then MixUp or CutMix across the batch; keras_cv's RandAugment, where a
recipe asks for it, comes after the degradation. What can be composed is: geometry, RandAugment's moves and the channel
shift end in one warp and few lookups an image. One object serves any number of threads.
"""

from collections.abc import Callable, Iterable

import cv2
import numpy as np

from build.augment import (
    augmix,
    degradations,
    geometry,
    mixing,
    occlusion,
    program,
    randaugment,
    random_convolution,
    settings,
    surroundings,
    textures,
    veils,
)
from build.errors import UserError
from build.recipe import Recipe

_SHUFFLES = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


class Augmentation:
    """The augmentation of one recipe. Raises UserError where a setting is out of its range."""

    def __init__(self, recipe: Recipe, *, classes: int):
        settings.check(recipe)
        self.recipe = recipe
        self.classes = classes
        self._pool = recipe.randaugment_pool or randaugment.DEFAULT
        self._keras_cv = None
        if recipe.augmenter == "keras_cv":
            from build.augment.keras_cv_baseline import KerasCvBaseline  # costs the import of a framework

            self._keras_cv = KerasCvBaseline(recipe)

    def batch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        copy: np.ndarray | None = None,
        *,
        rng: np.random.Generator,
        side: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augment (B, H, W, 3) uint8 images with (B,) integer labels; the given arrays stay as they are.

        copy: (B,) bool, the rows that AugMix with the recipe's copies_* settings comes on top of (build/augment/balance.py
        chooses them), so that everything else is drawn alike for all classes. side: of the longer side, resized to it first;
        None keeps the size.

        Returns x uint8 (B, height, width, 3) in 0..255 and y float32 (B, classes), rows that sum to 1. With jsd_weight > 0
        they are (3B, ...): blocks [moved only, view 1, view 2], y repeated.
        """
        recipe, count = self.recipe, len(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise UserError(
                "Augmentation takes uint8 images (n, height, width, 3) in 0..255, "
                f"got {images.dtype} {images.shape}; convert them first."
            )
        before = x = resize(images, side)
        y = np.zeros((count, self.classes), np.float32)
        y[np.arange(count), labels] = 1

        copies = np.flatnonzero(copy) if copy is not None else np.empty(0, np.int64)
        if len(copies):
            x = x.copy()
            x[copies] = self._augmix_copies(x[copies], rng)

        if recipe.surroundings_probability and recipe.augmenter != "none":
            x = surroundings.exchange(
                x, probability=recipe.surroundings_probability, zoom=recipe.surroundings_zoom, rng=rng
            )
        blocks = [x]
        if recipe.augmenter != "none":
            if recipe.jsd_weight > 0:
                plain, centres = self._move(x, rng)
                blocks = [plain, *(self._restyle(plain, 1.0, rng, centres) for _ in range(2))]
            else:
                blocks = [self._augment(x, rng)]
        elif recipe.jsd_weight > 0:
            blocks = [x, x, x]
        if "blackened" in recipe.defects and len(copies):
            blocks = [blacken(block, copies) for block in blocks]

        if recipe.mixup_alpha > 0 or recipe.cutmix_alpha > 0:
            mixes = mixing.draw_mixes(
                count,
                *x.shape[1:3],
                mixup_alpha=recipe.mixup_alpha,
                cutmix_alpha=recipe.cutmix_alpha,
                probability=recipe.mix_probability,
                rng=rng,
            )
            blocks = [mixing.mix_images(block, mixes) for block in blocks]
            y = mixing.mix_labels(y, mixes)
        # A result of its own in every case: the caller may write on it.
        x = np.concatenate(blocks) if len(blocks) > 1 or blocks[0] is images else blocks[0]
        y = np.tile(y, (len(blocks), 1))

        assert x.dtype == np.uint8
        assert x.shape == (len(blocks) * count, *before.shape[1:])
        assert y.shape == (len(x), self.classes)
        assert np.abs(y.sum(1) - 1).max(initial=0) < 1e-5
        if "blackened" not in recipe.defects:
            assert_exposed(before, x)
        return x, y

    def _augment(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """All image-wise augmentation in one go."""
        matrices, centres = self._draw_geometry(images, rng)
        return self._restyle(images, self.recipe.augmix_probability, rng, centres, matrices)

    def _move(self, images: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[geometry.Place]]:
        """Geometry alone, and where it puts each object."""
        matrices, centres = self._draw_geometry(images, rng)
        borders = geometry.draw_borders(len(images), border=self.recipe.border, rng=rng)
        out = np.empty_like(images)
        for image, matrix, border, fill, result in zip(
            images, matrices, borders.modes, borders.fills, out, strict=True
        ):
            geometry.warp(image, matrix, border=border, fill=fill, out=result)
        return out, centres

    def _draw_geometry(
        self, images: np.ndarray, rng: np.random.Generator
    ) -> tuple[list[np.ndarray], list[geometry.Place]]:
        """A matrix an image, and where it puts the object."""
        recipe = self.recipe
        drawn = geometry.draw_geometry(
            *images.shape[:3],
            flip=recipe.flip,
            probability=recipe.geometry_probability,
            rotation=recipe.rotation,
            zoom=recipe.zoom,
            translation=recipe.translation,
            shear=recipe.shear,
            rng=rng,
        )
        kept = [geometry.keep_centre(matrix, *images.shape[1:3]) for matrix in drawn]
        return [matrix for matrix, _ in kept], [centre for _, centre in kept]

    def _restyle(
        self,
        images: np.ndarray,
        augmix_probability: float,
        rng: np.random.Generator,
        centres: list[geometry.Place],
        matrices: list[np.ndarray] | None = None,
    ) -> np.ndarray:
        """Geometry by `matrices`, AugMix with a probability, then each image's program and holes; a new array.

        centres: where the objects lie after the matrices, or as the images are without any.
        """
        recipe, (count, height, width) = self.recipe, images.shape[:3]
        borders = geometry.draw_borders(count, border=recipe.border, rng=rng)
        mixed = rng.random(count) < augmix_probability
        programs = self._draw_programs(count, rng)
        holes = self._draw_holes(count, height, width, rng)
        moves, begin = [[]] * count, centres
        if matrices is not None:
            moves, begin = [[("matrix", matrix)] for matrix in matrices], [geometry.MIDDLE] * count

        def run(rows: list[int], source: np.ndarray, steps: list[list[program.Step]], at: list[geometry.Place]) -> None:
            for i in rows:
                program.run(
                    source[i], steps[i], border=borders.modes[i], fill=borders.fills[i], centre=at[i], out=out[i]
                )

        out = np.empty_like(images)
        rows = np.flatnonzero(mixed)
        if len(rows):
            run(rows.tolist(), images, moves, begin)
            out[rows] = self._augmix(out[rows], rng)
            run(rows.tolist(), out, programs, centres)
        whole = [move + steps for move, steps in zip(moves, programs, strict=True)]
        run(np.flatnonzero(~mixed).tolist(), images, whole, begin)
        if self._keras_cv is not None:
            rows = np.flatnonzero(rng.random(count) < recipe.randaugment_probability)
            out[rows] = self._keras_cv.randaugment(out[rows], rng=rng)
        for image, cuts in zip(out, holes, strict=True):
            for cut in cuts:
                occlusion.cut(image, cut)
        return out

    def _augmix_copies(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        recipe = self.recipe
        if self._keras_cv is not None:
            return self._keras_cv.augmix_copies(images, rng=rng)
        return augmix.augmix(
            images,
            severity=recipe.copies_severity,
            alpha=recipe.copies_alpha,
            width=recipe.copies_width,
            rng=rng,
        )

    def _augmix(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        recipe = self.recipe
        if self._keras_cv is not None:
            return self._keras_cv.augmix(images, rng=rng)
        return augmix.augmix(
            images,
            severity=recipe.augmix_severity,
            alpha=recipe.augmix_alpha,
            width=recipe.augmix_width,
            depth=recipe.augmix_depth,
            rng=rng,
        )

    def _draw_programs(self, count: int, rng: np.random.Generator) -> list[list[program.Step]]:
        """Decide the steps after geometry and AugMix, one list an image."""
        recipe = self.recipe
        programs: list[list[program.Step]] = [[] for _ in range(count)]

        def draw(probability: float) -> list[int]:
            return np.flatnonzero(rng.random(count) < probability).tolist()

        def add(probability: float, draw_steps: Callable, **options: float) -> None:
            rows = draw(probability)
            for i, step in zip(rows, draw_steps(len(rows), rng=rng, **options), strict=True):
                programs[i].append(step)

        def give(name: str, rows: list[int], parameters: Iterable) -> None:
            for i, parameter in zip(rows, parameters, strict=True):
                programs[i].append((name, parameter))

        rows = draw(recipe.stain_probability)
        give("stain", rows, rng.uniform(1 - recipe.stain, 1 + recipe.stain, (len(rows), 3)).tolist())
        if self._keras_cv is None:
            rows = draw(recipe.randaugment_probability)
            steps = randaugment.draw_randaugment(
                len(rows),
                operations=recipe.randaugment_operations,
                magnitude=recipe.randaugment_magnitude,
                spread=recipe.randaugment_spread,
                pool=self._pool,
                rng=rng,
            )
            for i, drawn in zip(rows, steps, strict=True):
                programs[i] += drawn
        # This and the next three with a condition are drawn only where asked for, so that recipes without them draw what they drew
        # before there were any.
        if recipe.grey_probability:
            rows = draw(recipe.grey_probability)
            give("channel_shuffle", rows, [(channel,) * 3 for channel in rng.integers(0, 3, len(rows)).tolist()])
        rows = draw(recipe.channel_shift_probability)
        largest = recipe.channel_shift * 255
        give("channel_shift", rows, rng.uniform(-largest, largest, (len(rows), 3)))
        rows = draw(recipe.channel_shuffle_probability)
        give("channel_shuffle", rows, [_SHUFFLES[i] for i in rng.integers(0, len(_SHUFFLES), len(rows)).tolist()])
        if recipe.random_convolution_probability:
            add(recipe.random_convolution_probability, random_convolution.draw_random_convolutions)
        if recipe.texture_probability:
            add(recipe.texture_probability, textures.draw_textures, strength=recipe.texture_strength)
        if recipe.veil_probability:
            add(recipe.veil_probability, veils.draw_veils, opacity=recipe.veil_opacity)
        add(recipe.degrade_probability, degradations.draw_degradations, strength=recipe.degrade_strength)
        return programs

    def _draw_holes(self, count: int, height: int, width: int, rng: np.random.Generator) -> list[list[occlusion.Holes]]:
        recipe = self.recipe
        holes: list[list[occlusion.Holes]] = [[] for _ in range(count)]
        rows = np.flatnonzero(rng.random(count) < recipe.cutout_probability).tolist()
        for i, hole in zip(
            rows, occlusion.draw_cutout(len(rows), height, width, size=recipe.cutout_size, rng=rng), strict=True
        ):
            holes[i].append(hole)
        rows = np.flatnonzero(rng.random(count) < recipe.grid_probability).tolist()
        for i, hole in zip(rows, occlusion.draw_grid(len(rows), height, width, rng=rng), strict=True):
            holes[i].append(hole)
        return holes


def resize(images: np.ndarray, side: int | None) -> np.ndarray:
    """(B, H, W, 3) uint8 images whose larger side is `side`, by areas where that is smaller; the same array at the same size."""
    now = max(images.shape[1:3])
    if side is None or side == now:
        return images
    height, width = (max(1, round(length * side / now)) for length in images.shape[1:3])
    out = np.empty((len(images), height, width, 3), np.uint8)
    way = cv2.INTER_AREA if side < now else cv2.INTER_LINEAR
    for image, result in zip(images, out, strict=True):
        cv2.resize(image, (width, height), dst=result, interpolation=way)
    return out


def blacken(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(B, H, W, 3) uint8 images, those of `rows` clipped to 0..1: what np.clip(augmented, 0, 1) makes of pixels 0..255; a new array.

    A reproduction of a known error (Recipe.defects), for the study that measures what it costs.
    """
    out = images.copy()
    out[rows] = np.minimum(out[rows], 1)
    return out


def assert_exposed(before: np.ndarray, after: np.ndarray) -> None:
    """Assert that augmentation did not blacken or saturate a batch: the mean luminance keeps a share of its distance to
    black and white.

    It compares (B, H, W, 3) uint8 batches on every 16th row. Bounds are wide (a tenth): they hold for every sensible
    recipe and catch the classical mistakes, such as clipping 0..255 pixels to 0..1. Batches below 16 images are too
    small to say.
    """
    if len(after) < 16:
        return
    old, new = before[:, ::16].mean(), after[:, ::16].mean()
    assert new >= 0.1 * old - 4, f"augmentation blackened the batch: mean pixel {old:.0f} -> {new:.1f}"
    assert 255 - new >= 0.1 * (255 - old) - 4, f"augmentation saturated the batch: mean pixel {old:.0f} -> {new:.1f}"
