"""Where a run's network looks: `python -m build cam [RUN]` -> a picture, dist/cam.json, a table (build/attention.py)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from build import attention
from build.console import console, muffled
from build.data.read import read
from build.errors import UserError
from build.files import atomic, check_writable, write_text
from build.members import open_network
from build.runs import Run
from build.score import held_out
from build.score.drawing import heat_over
from build.score.suites import CACHE, Condition, materialise


def cam(name: str, *, data: str | None, out: Path, rows: int) -> None:
    """Measure and draw where the network of run `name` looks.

    `data`: a data source instead of the run's own test cells; `rows`: perturbed images a condition; `out`: a PNG, beside
    which the JSON is written. UserError where there is no such run or it has no weights yet.
    """
    if out.suffix != ".png":
        raise UserError(f"The picture is written as PNG; give a name that ends in .png instead of {out}.")
    check_writable(out)
    run = open_network(name)
    held = _held_out(run, data)
    with muffled():  # imports the framework: after the data was found to be good
        from build.gradcam import explainer, possible

        if not possible():
            raise UserError(
                "Class activation maps are made with TensorFlow; unset KERAS_BACKEND, or set it to tensorflow."
            )
        explain = explainer(run.weights_path)
    conditions = materialise(
        attention.SUITES, held.images, held.labels, seed=held.seed, rows_per_condition=rows, cache=CACHE
    )
    console.print(
        f"Run {run.id}: layer {explain.layer}, maps of {explain.map_shape[0]}x{explain.map_shape[1]}, on {held.source}.",
        markup=False,
    )
    found = attention.measure(explain.look, conditions, seed=held.seed)
    attention.show(found)
    facts = {"run": run.id, "data": held.source, "seed": held.seed, "layer": explain.layer, "map": explain.map_shape}
    write_text(out.with_suffix(".json"), json.dumps(facts | found, indent=1, allow_nan=False) + "\n")
    draw(found, conditions, explain, out)
    console.print(f"Written to {out} and {out.with_suffix('.json')}.", markup=False)


def _held_out(run: Run, data: str | None) -> held_out.HeldOut:
    """The run's own test cells also where its data came from another place since; of other data those of its own split."""
    if data is not None:
        cells = read(data, seed=run.facts["seed"])
        if cells.sha256 != run.facts["data"]["sha256"]:
            return held_out.of_data(data)
        return held_out.of_run(run, cells=cells)
    return held_out.of_run(run)


def draw(found: Mapping, conditions: Sequence[Condition], explain, path: Path) -> None:
    """A row a class, right and wrong answers on clean and perturbed images, each beside its heat map and the disc, as PNG.

    `explain`: build.gradcam.GradCam. Atomically.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Ellipse

    classes, wide = found["classes"], attention.EXAMPLES
    columns = [(suite, right) for suite in found["sets"] for right in (True, False)]
    figure = Figure(figsize=(2.1 * wide * len(columns), 1.32 * len(classes) + 0.5), layout="constrained", dpi=100)
    axes = figure.subplots(len(classes), wide * len(columns), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    paths = {condition.key: condition.images_path for condition in conditions}
    for label, name in enumerate(classes):
        axes[label, 0].text(
            -0.1,
            0.5,
            name.replace(" ", "\n"),
            rotation=90,
            ha="center",
            va="center",
            transform=axes[label, 0].transAxes,
        )
        for group, (suite, right) in enumerate(columns):
            fit = [
                one
                for one in found["examples"]
                if (one["suite"], one["label"], one["called"] == label) == (suite, label, right)
            ]
            for axis, one in zip(axes[label, group * wide :], fit, strict=False):
                image = np.load(paths[one["key"]], mmap_mode="r")[one["place"]]
                heat = explain(image[None], np.array([one["called"]]))[0]
                axis.imshow(np.concatenate([image, heat_over(np.asarray(image), heat)], axis=1))
                height, width = image.shape[:2]
                across = 2 / np.sqrt(2 * np.pi)
                centre = (1.5 * width - 0.5, (height - 1) / 2)
                axis.add_patch(Ellipse(centre, across * width, across * height, fill=False, color="white", alpha=0.6))
                title = f"{classes[one['called']]} {one['share']:.2f}"
                axis.set_title(title, fontsize=7, pad=2, color="tab:green" if right else "tab:red")
    figure.suptitle(
        "Called, share of Grad-CAM outside the disc; left to right: "
        + ", ".join(f"{suite} {'right' if right else 'wrong'}" for suite, right in columns),
        fontsize=9,
    )
    with atomic(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})
