"""The microscopy suite beside medmnistc: `python -m build.bench corruptions`.

Processor milliseconds an image (user and system time of the process, all its threads) at 96x96, the 11 corruptions of
MedMNIST-C's blood row at their 5 severities, drawing included; contenders take turns in every round, a figure is the
median of the rounds. tests/test_corruptions.py shows that both give the same pictures. medmnistc is measured where it is
installed (`pip install medmnistc wand` and ImageMagick's library; it asks for opencv-python, which replaces the headless
OpenCV, so not into this environment for good). Results also go to runs/bench/corruptions.json.
"""

from collections.abc import Callable
from unittest import mock

import numpy as np
from PIL import Image
from rich.table import Table

from build.bench import turns
from build.console import console
from build.data import synthetic
from build.score.corruptions import microscopy
from build.score.corruptions.definition import SEVERITIES, Corruption
from build.score.suites import generator

BATCH, ROUNDS = 24, 5
TARGET = 5
"""Images a second, times medmnistc's."""
THEIR_NAMES = {
    "pixelate": "pixelate",
    "jpeg": "jpeg_compression",
    "defocus": "defocus_blur",
    "motion": "motion_blur",
    "brighter": "brightness_up",
    "darker": "brightness_down",
    "contrast-up": "contrast_up",
    "contrast-down": "contrast_down",
    "saturation": "saturate",
    "stain": "stain_deposit",
    "bubble": "bubble",
}
"""Our corruptions -> medmnistc's."""
Batch = Callable[[np.ndarray], list[np.ndarray]]


def main() -> None:
    """Measure, print a table, write runs/bench/corruptions.json."""
    begun = turns.begin(f"Corruptions of {BATCH} images at 96x96, severities 1 to 5")
    images, _ = synthetic.cells(range(BATCH), seed=0)
    turns.save("corruptions", begun | compare(images))


def ours(corruption: Corruption) -> Batch:
    """All severities of a corruption, each image with its own random numbers as in a suite."""

    def run(images: np.ndarray) -> list[np.ndarray]:
        return [
            corruption(image, severity, rng=generator(0, microscopy.SUITE.name, corruption.name, row))
            for severity in SEVERITIES
            for row, image in enumerate(images)
        ]

    return run


def theirs(corruption: Corruption) -> Batch:
    """The same from medmnistc; ImportError where it or ImageMagick is absent."""
    from medmnistc.corruptions.registry import CORRUPTIONS_DS

    method = CORRUPTIONS_DS["bloodmnist"][THEIR_NAMES[corruption.name]]

    def run(images: np.ndarray) -> list[np.ndarray]:
        # Its motion blur calls the binary mode of fromstring, which numpy has dropped.
        with mock.patch.object(np, "fromstring", np.frombuffer, create=True):
            return [
                np.asarray(method.apply(Image.fromarray(image), severity - 1))
                for severity in SEVERITIES
                for image in images
            ]

    return run


def compare(images: np.ndarray) -> dict:
    """Time every corruption on (B, H, W, 3) uint8 images and print the table; milliseconds of one corrupted image."""
    table = Table("corruption", title=f"Processor time of one image, median of {ROUNDS} rounds", title_justify="left")
    for head in ("ours, ms", "medmnistc, ms", "times ours"):
        table.add_column(head, justify="right", no_wrap=True)
    rows, missing = {}, ""
    for corruption in microscopy.SUITE.corruptions:
        contenders = {"ours": ours(corruption)}
        try:
            contenders["medmnistc"] = theirs(corruption)
        except ImportError as error:
            missing = str(error).partition("\n")[0]
        for function in contenders.values():
            function(images[:2])  # what is read or computed once
        spent = turns.take(contenders, images, rounds=ROUNDS)
        rows[corruption.name] = {name: float(np.median(one)) / len(SEVERITIES) for name, one in spent.items()}
    rows["all"] = {name: float(np.mean([row[name] for row in rows.values()])) for name in rows["pixelate"]}
    for name, row in rows.items():
        other = row.get("medmnistc")
        cells = (f"{other:.3f}", f"{other / row['ours']:.1f}") if other else ("-", "-")
        table.add_row(name, f"{row['ours']:.3f}", *cells, style="bold green" if name == "all" else "")
    console.print(table)
    total = rows["all"]
    facts = {"milliseconds": {name: {k: round(v, 4) for k, v in row.items()} for name, row in rows.items()}}
    facts["images_a_second"] = {name: round(1000 / milliseconds, 1) for name, milliseconds in total.items()}
    console.print(", ".join(f"{name} {speed:,.0f} images/s" for name, speed in facts["images_a_second"].items()))
    if missing:
        console.print(f"medmnistc: not measured ({missing}).", markup=False)
    else:
        times = total["medmnistc"] / total["ours"]
        each = float(np.median([row["medmnistc"] / row["ours"] for name, row in rows.items() if name != "all"]))
        facts |= {"times_ours": round(times, 2), "median_times_ours": round(each, 2)}
        console.print(
            f"Target: {TARGET} times medmnistc's images/s: {'met' if times >= TARGET else '[red]missed[/]'} ({times:.1f}; "
            f"its motion blur, through a PNG and ImageMagick, makes most of that: the median corruption is {each:.1f} times)."
        )
    return facts
