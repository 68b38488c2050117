"""A study's plot, and its page: one self-contained HTML file in the look of the scorecard.

picture = plot(table); write_html(table, Path("dist/studies/models.html"), picture)
"""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from build.files import write_text
from build.score.page import environment
from build.study.results import FIGURES, percent, provenance, reported_text

TEMPLATES = Path(__file__).parent / "templates"
SHOWN = (
    ("accuracy", "held-out", "#2563c9"),
    ("microscopy", "microscopy", "#177a46"),
    ("stacked", "stacked", "#d96a00"),
)
"""Columns of the plot: name, label, colour."""


def plot(table: Mapping) -> bytes:
    """A PNG: a line a row of the study, its accuracies as dots (every seed faint, the mean full), the report's as open diamonds."""
    from matplotlib.figure import Figure

    lines = table["rows"]
    figure = Figure(figsize=(9, 1.3 + 0.42 * len(lines)), layout="constrained")
    axes = figure.subplots()
    for name, label, colour in SHOWN:
        for index, line in enumerate(lines):
            each = [result["figures"][name] for result in line["results"] if result["figures"]]
            each = [value for value in each if value is not None]
            if len(each) > 1:
                axes.plot(each, [index] * len(each), "o", color=colour, alpha=0.3, markersize=4)
        means = [(line["mean"][name], index) for index, line in enumerate(lines) if line["mean"][name] is not None]
        if means:
            axes.plot(*zip(*means, strict=True), "o", color=colour, label=label, markersize=7)
    for field, label, colour in (
        ("accuracy", "report: local test", "#2563c9"),
        ("hidden", "report: Codabench", "#d96a00"),
    ):
        given = [(line["reported"] or {}).get(field) for line in lines]
        points = [(value, index) for index, value in enumerate(given) if value is not None]
        if points:
            axes.plot(*zip(*points, strict=True), "D", color=colour, fillstyle="none", label=label, markersize=7)
    axes.set_yticks(range(len(lines)), [line["label"] for line in lines])
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set(xlabel="accuracy", xlim=(0, 1.01), title=table["title"])
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return file.getvalue()


def tiles(table: Mapping) -> list[dict]:
    """The headline numbers."""
    lines = [line for line in table["rows"] if line["seeds"]]
    done = sum(line["seeds"] for line in table["rows"])
    rows = [
        {
            "name": "Trained and judged",
            "value": f"{done} of {len(table['rows']) * table['seeds']}",
            "range": f"{sum(line['minutes'] or 0 for line in lines):.1f} min of training for each seed",
        }
    ]
    for name, title in (("accuracy", "Best on the local test"), ("stacked", "Best on stacked perturbations")):
        known = {line["label"]: by_seed(line, name) for line in lines}
        known = {label: values for label, values in known.items() if values}
        # A seed has test cells of its own, and those differ by more than rows do: only what all rows have is compared.
        common = set.intersection(*(set(values) for values in known.values())) if known else set()
        if common:
            means = {label: fmean(values[seed] for seed in common) for label, values in known.items()}
            best = max(means, key=means.get)
            fewer = f", {len(common)} of {table['seeds']} seeds" if len(common) < table["seeds"] else ""
            rows.append({"name": title, "value": percent(means[best]) + " %", "range": best + fewer})
    return rows


def by_seed(line: Mapping, name: str) -> dict[int, float]:
    """Seed -> the figure `name` of a row, where it has one."""
    figures = {result["seed"]: result["figures"] for result in line["results"] if result["figures"]}
    return {seed: values[name] for seed, values in figures.items() if values[name] is not None}


def write_html(table: Mapping, path: Path, picture: bytes) -> None:
    """Write the page, atomically; picture: the plot's PNG."""
    env = environment(TEMPLATES)
    env.filters |= {"percent": percent}
    env.globals |= {"reported_text": reported_text}
    page = env.get_template("study.html.j2")
    write_text(
        Path(path),
        page.render(
            table=table,
            tiles=tiles(table),
            figures=FIGURES,
            provenance=provenance(table),
            picture="data:image/png;base64," + base64.b64encode(picture).decode("ascii"),
        ),
    )
