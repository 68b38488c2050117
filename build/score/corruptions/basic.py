"""The suite `basic`: six everyday corruptions; the gates of `nox -s package` use it."""

from build.score.corruptions import filters, noise, overlays, photometric
from build.score.corruptions.definition import Corruption, Suite


def change_contrast(image, strength, *, rng):
    """Contrast divided or multiplied by 1 + strength, about the mean luma."""
    factor = (1.0 + strength) ** float(rng.choice((-1, 1)))
    return photometric.scale_contrast(image, factor, rng=rng)


SUITE = Suite(
    "basic",
    (
        Corruption("blur", filters.blur_gaussian_relative, (1.5, 2.5, 3.5, 5, 7), ("blur",)),
        Corruption("noise", noise.add_gaussian, (0.04, 0.08, 0.12, 0.18, 0.26), ("noise",)),
        Corruption("brightness", photometric.add_brightness, (0.1, 0.2, 0.3, 0.4, 0.5), ("brightness",)),
        Corruption("contrast", change_contrast, (0.25, 0.5, 1, 1.75, 3), ("contrast",)),
        Corruption("jpeg", filters.compress_jpeg, (40, 25, 15, 10, 6), ("jpeg",)),
        Corruption("occlusion", overlays.occlude, (0.05, 0.1, 0.18, 0.28, 0.4), ("occlusion",)),
    ),
    "Six everyday corruptions; the package gates use it.",
)
