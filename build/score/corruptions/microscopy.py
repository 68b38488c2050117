"""The suite `microscopy`: artefacts of a blood smear under the microscope, after the blood row of MedMNIST-C.

Di Salvo, Doerrich, Ledig 2024, "MedMNIST-C: Comprehensive benchmark and improved classifier robustness by simulating
realistic image corruptions", table 1 and the levels of the medmnistc 0.1.0 registry for bloodmnist. Lengths are pixels
of the image as given, as there. Stain deposits are drawn by a formula (theirs are scanned marks) and grow with every
severity.
"""

from build.score.corruptions import filters, overlays, photometric
from build.score.corruptions.definition import Corruption, Suite

SOURCE = "Di Salvo et al. 2024, MedMNIST-C, table 1"

SUITE = Suite(
    "microscopy",
    (
        Corruption("pixelate", filters.pixelate, (0.6, 0.5, 0.4, 0.3, 0.25), ("pixelate",), SOURCE),
        Corruption("jpeg", filters.compress_jpeg, (50, 30, 15, 10, 7), ("jpeg",), SOURCE),
        Corruption(
            "defocus", filters.blur_defocus, ((2, 0.01), (3, 0.1), (4, 0.1), (5, 0.1), (6, 0.1)), ("blur",), SOURCE
        ),
        Corruption(
            "motion", filters.blur_motion, ((3, 3), (5, 5), (10, 5), (10, 7), (10, 9)), ("blur", "motion blur"), SOURCE
        ),
        Corruption("brighter", photometric.scale_brightness, (1.1, 1.2, 1.3, 1.35, 1.4), ("brightness",), SOURCE),
        Corruption("darker", photometric.scale_brightness, (0.9, 0.8, 0.7, 0.6, 0.5), ("brightness",), SOURCE),
        Corruption("contrast-up", photometric.scale_contrast, (1.1, 1.15, 1.2, 1.25, 1.3), ("contrast",), SOURCE),
        Corruption("contrast-down", photometric.scale_contrast, (0.9, 0.8, 0.7, 0.6, 0.5), ("contrast",), SOURCE),
        Corruption("saturation", photometric.add_saturation, (0.05, 0.1, 0.15, 0.17, 0.2), ("saturation",), SOURCE),
        Corruption(
            "stain", overlays.deposit_stain, ((1, 9), (2, 9.5), (3, 10), (3, 11), (3, 12.5)), ("stain",), SOURCE
        ),
        Corruption(
            "bubble", overlays.add_bubbles, ((5, 10), (7, 10), (10, 10), (12, 12), (15, 12)), ("bubble",), SOURCE
        ),
    ),
    "What goes wrong under a microscope: MedMNIST-C's corruptions for blood cells.",
)
