"""Veils: what lies over an object changes its colour where it lies, nothing elsewhere, and never hides it whole."""

import numpy as np
import pytest

from build.augment import program, veils
from build.augment.pipeline import Augmentation
from build.augment.veils import Spots, Veil
from build.recipe import Recipe

GREY = np.full((96, 96, 3), 100, np.uint8)


def spots(*places: tuple[float, ...], opacity: float = 0.5, rim=(0.0, 0.0), softness: float = 0.0) -> Spots:
    return Spots(np.array(places), np.full(len(places), opacity), rim, softness)


def test_a_spot_mixes_its_colour_in_by_its_opacity_and_leaves_the_rest():
    image = GREY.copy()
    veiled = veils.veil(image, Veil((200, 100, 0), spots((0.5, 0.25, 0.1, 0.1, 0.0))))
    assert np.array_equal(image, GREY)
    rows, columns = np.mgrid[:96, :96]
    distance = np.hypot(rows - 24, columns - 48)
    assert np.abs(veiled[distance < 8.5] - np.array((150, 100, 50))).max() <= 1
    assert (veiled[distance > 11] == 100).all()


def test_a_long_spot_lies_along_its_angle_and_its_rim_about_it():
    veiled = veils.veil(GREY, Veil((255, 255, 255), spots((0.5, 0.5, 0.3, 0.05, 90.0), rim=(0.04, 0.9))))
    assert veiled[48 + 25, 48, 0] == veiled[48, 48, 0] == pytest.approx(178, abs=1)
    assert veiled[48, 48 + 25, 0] == 100
    assert veiled[48, 48 + 7, 0] == pytest.approx(240, abs=2)


def test_a_soft_spot_has_no_edge():
    hard, soft = (
        veils.veil(GREY, Veil((255, 255, 255), spots((0.5, 0.5, 0.2, 0.2, 0.0), softness=softness))).astype(int)
        for softness in (0.0, 0.05)
    )
    assert np.abs(np.diff(hard[48, :, 0])).max() > 60
    assert np.abs(np.diff(soft[48, :, 0])).max() < 12
    assert soft[48, 48, 0] == hard[48, 48, 0]


def test_a_field_is_smooth_and_stays_within_its_opacities():
    field = np.array([[0.0, 0.6], [0.3, 0.0]], np.float32)
    veiled = veils.veil(GREY, Veil((0, 0, 0), field)).astype(int)[..., 0]
    assert veiled.min() == pytest.approx(40, abs=1)
    assert veiled.max() == 100
    assert np.abs(np.diff(veiled)).max() < 5
    assert veiled[5, 90] < veiled[90, 5] < veiled[5, 5]


def test_drawn_veils_are_of_every_kind_and_grow_with_the_opacity(rng):
    changes = []
    for opacity in (0.2, 0.9):
        steps = veils.draw_veils(300, opacity=opacity, rng=rng)
        assert {name for name, _ in steps} == {"veil"}
        drawn = [veil for _, veil in steps]
        of_spots = [veil.shape for veil in drawn if isinstance(veil.shape, Spots)]
        fields = [veil.shape for veil in drawn if not isinstance(veil.shape, Spots)]
        assert 0.55 < len(of_spots) / len(drawn) < 0.78
        tones = [max(veil.colour) < 64 if max(veil.colour) == min(veil.colour) else None for veil in drawn]
        assert {True, False, None} == set(tones)
        for tops in ([shape.opacities.max() for shape in of_spots], [field.max() for field in fields]):
            assert 0.9 * opacity < max(tops) <= opacity * 1.001
        counts = [len(shape.opacities) for shape in of_spots]
        assert min(counts) == 1
        assert veils.MOST_SPOTS >= max(counts) > 10
        changes.append(np.mean([np.abs(program.run(GREY, [step]).astype(int) - 100).mean() for step in steps]))
    assert changes[1] > 2 * changes[0] > 0


def test_what_is_drawn_leaves_most_of_the_object_to_be_seen(rng):
    middle = np.s_[24:72, 24:72]
    cover = [
        np.mean(np.abs(program.run(GREY, [step])[middle].astype(int) - 100) > 70)
        for step in veils.draw_veils(300, opacity=0.8, rng=rng)
    ]
    assert np.mean(cover) < 0.12
    assert np.mean(np.array(cover) > 0.9) < 0.03


def test_one_seed_draws_the_same_veils_at_any_size():
    first, second = (veils.draw_veils(40, opacity=0.8, rng=np.random.default_rng(3)) for _ in range(2))
    large = np.full((192, 192, 3), 100, np.uint8)
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(program.run(GREY, [one]), program.run(GREY, [other]))
        small, big = program.run(GREY, [one]).astype(int), program.run(large, [one]).astype(int)
        assert np.abs(small.mean() - big.mean()) < 3


def test_the_pipeline_veils_as_often_as_it_is_asked(rng):
    off = ("geometry", "augmix", "randaugment", "channel_shuffle", "channel_shift", "degrade", "cutout")
    only = {f"{name}_probability": 0.0 for name in off}
    images = np.repeat(GREY[None], 200, 0)
    for probability in (0.0, 0.3, 1.0):
        augmentation = Augmentation(Recipe("veils", **only, flip=False, veil_probability=probability), classes=8)
        x, _ = augmentation.batch(images, np.zeros(200, int), rng=rng)
        changed = (x != images).any((1, 2, 3)).mean()
        assert changed == pytest.approx(probability, abs=0.12)
