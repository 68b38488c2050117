"""A study's results as one JSON-able dict, and that as Markdown and as a table of the console.

    table = assemble(study, results, scale="small", ...)
    markdown(table)

Means and spreads (the sample's standard deviation) are over seeds; a seed draws split, batches and first weights anew, the same split for
every row.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from rich.table import Table

from build.recipe import Recipe
from build.score.leaderboard.reported import COMPETITION as REPORTED_COMPETITION
from build.study.catalogue import Row, Study
from build.study.execute import Result, facts_of
from submission.contract import COMPETITION

FORMAT = 1
OURS = COMPETITION == REPORTED_COMPETITION
"""The report is about the blood cells: beside another competition's its figures say nothing."""
MISSING = "–"
SILENT = ("name", "minimum_", "maximum_")
"""Fields of a recipe that change nothing of a training: what a row is called, and the gates of packaging."""


class Figure(NamedTuple):
    """A column of shares 0..1."""

    name: str
    title: str
    short: str
    """For the console; empty where it is left out there."""
    reported: str
    """The field of Reported that stands beside it; empty for none."""


FIGURES = (
    Figure("accuracy", "Accuracy (local test)", "local", "accuracy"),
    Figure("precision", "Precision (weighted)", "", "precision"),
    Figure("recall", "Recall (weighted)", "", "recall"),
    Figure("f1", "F1 (weighted)", "F1", "f1"),
    Figure("stacked", "Perturbed: stacked", "stacked", "hidden"),
    Figure("randaugment", "Perturbed: keras_cv RandAugment", "RandAug.", ""),
    Figure("microscopy", "Perturbed: microscopy", "microsc.", ""),
)


def figures_of(measures: Mapping) -> dict[str, float | None]:
    """The columns' figures of one zip's measures."""
    held, suites = measures["held_out"], measures["suites"]
    values = {name: held[name] for name in ("accuracy", "precision", "recall", "f1")}
    values |= {name: suites[name]["accuracy"] if name in suites else None for name in ("stacked", "microscopy")}
    return values | {"randaugment": measures["randaugment"]}


@dataclass
class Line:
    """A row with the recipe of its scale, and what came of it so far, by seed."""

    row: Row
    recipe: Recipe
    results: dict[int, Result] = field(default_factory=dict)


def assemble(study: Study, lines: Sequence[Line], **facts: object) -> dict:
    """The study as a dict: `facts` (scale, protocol, seeds, data, device, test_rows), and a line a row with its results so far."""
    base = dataclasses.asdict(lines[0].recipe)
    return {
        "format": FORMAT,
        "study": study.name,
        "title": study.title,
        "about": study.about,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
        "rows": [_described(line, base) for line in lines],
    }


def _described(line: Line, base: Mapping) -> dict:
    results = [line.results[seed] for seed in sorted(line.results)]
    done = [figures_of(result.measures) for result in results if result.measures]
    known = {
        figure.name: [values[figure.name] for values in done if values[figure.name] is not None] for figure in FIGURES
    }
    minutes = [result.facts["minutes"] for result in results if result.facts.get("minutes") is not None]
    # The task's recipe names its teachers' runs, too.
    recipe = dataclasses.asdict(results[0].task.recipe if results else line.recipe)
    return {
        "label": line.row.label,
        "reported": dataclasses.asdict(line.row.reported) if line.row.reported and OURS else None,
        "mean": {name: statistics.fmean(values) if values else None for name, values in known.items()},
        "spread": {name: statistics.stdev(values) if len(values) > 1 else None for name, values in known.items()},
        "seeds": len(done),
        "minutes": statistics.fmean(minutes) if minutes else None,
        "facts": next((result.facts for result in results if result.facts.get("network")), facts_of(None)),
        "differs": {
            name: value for name, value in recipe.items() if value != base[name] and not name.startswith(SILENT)
        },
        "recipe": recipe,
        "results": [
            {
                "seed": result.task.seed,
                "run": result.run,
                "failure": result.failure,
                "figures": figures_of(result.measures) if result.measures else None,
                "facts": result.facts,
                "measures": result.measures,
            }
            for result in results
        ],
        "failures": list(dict.fromkeys(result.failure for result in results if result.failure)),
    }


def percent(value: float | None, spread: float | None = None) -> str:
    """A share 0..1 in percent with one decimal, and its spread."""
    if value is None:
        return MISSING
    return f"{100 * value:.1f}" + (f" ± {100 * spread:.1f}" if spread is not None else "")


def reported_text(line: Mapping, figure: Figure) -> str:
    """The report's figure beside a column, with the digits it gives; empty where there is none."""
    value = (line["reported"] or {}).get(figure.reported) if figure.reported else None
    return f"{100 * value:.4g}" if value is not None else ""


def columns(table: Mapping) -> list[str]:
    """Headings of the Markdown table; the report's where it has any figure."""
    titles = []
    for figure in FIGURES:
        titles.append(figure.title)
        if figure.reported and _told(table):
            titles.append("report: Codabench" if figure.reported == "hidden" else "report")
    return ["model", *titles, "seeds", "minutes", "parameters", "run"]


def _told(table: Mapping) -> bool:
    return any(line["reported"] for line in table["rows"])


def cells(table: Mapping, line: Mapping) -> list[str]:
    """A row of text under `columns`."""
    texts = []
    for figure in FIGURES:
        texts.append(percent(line["mean"][figure.name], line["spread"][figure.name]))
        if figure.reported and _told(table):
            texts.append(reported_text(line, figure))
    parameters = line["facts"].get("parameters")
    runs = ", ".join(result["run"] for result in line["results"] if result["run"])
    return [
        line["label"],
        *texts,
        str(line["seeds"]),
        _minutes(line),
        MISSING if parameters is None else f"{parameters / 1e6:.2f} M",
        runs,
    ]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def markdown(table: Mapping) -> str:
    """The study as Markdown: what was compared, the table, failures."""
    heads = columns(table)
    lines = [f"# {table['title']}", "", table["about"], "", table["protocol"], ""]
    lines += ["Shares in percent; ± is the standard deviation over seeds. " + provenance(table), ""]
    lines += ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 2) + "---|"]
    lines += ["| " + " | ".join(map(_escaped, cells(table, line))) + " |" for line in table["rows"]]
    failures = [f"- {line['label']}: {failure}" for line in table["rows"] for failure in line["failures"]]
    if failures:
        lines += ["", "Without figures:", "", *failures]
    notes = [
        f"- {line['label']}: the report's {line['reported']['source']}"
        + (f" ({line['reported']['note']})" if line["reported"]["note"] else "")
        for line in table["rows"]
        if line["reported"]
    ]
    if notes:
        lines += ["", "The report's figures:", "", *notes]
    return "\n".join(lines) + "\n"


def provenance(table: Mapping) -> str:
    """Data, device and commit in one sentence."""
    results = [result for line in table["rows"] for result in line["results"]]
    commits = sorted({result["facts"]["commit"][:9] for result in results if result["facts"].get("commit")})
    devices = sorted({result["facts"]["device"] for result in results if result["facts"].get("device")})
    judged = [result["measures"].get("device") for result in results if result["measures"]]
    judges = sorted({device or table["device"] for device in judged or [None]})
    parts = [
        f"Data: {table['data']['source']} (sha256 {table['data']['sha256'][:12]})",
        f"trained on {', '.join(devices)}" if devices else "",
        f"judged on {', '.join(judges)}, about {table['test_rows']} images a condition",
        f"commit {', '.join(commits)}" if commits else "",
    ]
    return "; ".join(filter(None, parts)) + "."


def console_table(table: Mapping) -> Table:
    """The figures for the console, in percent; the report's local accuracy and Codabench's where it has any.

    The weighted precision and recall are left to the files: they lie within a point of the accuracy, and a log is 120 columns wide.
    """
    shown = Table(title=f"{table['title']}, in percent", title_justify="left")
    shown.add_column("model")
    told = {"accuracy": "report", "stacked": "Codabench"} if _told(table) else {}
    figures = [figure for figure in FIGURES if figure.short]
    for figure in figures:
        shown.add_column(figure.short, justify="right", no_wrap=True)
        if figure.name in told:
            shown.add_column(told[figure.name], justify="right", no_wrap=True)
    shown.add_column("minutes", justify="right")
    for line in table["rows"]:
        texts = []
        for figure in figures:
            texts.append(percent(line["mean"][figure.name], line["spread"][figure.name]))
            if figure.name in told:
                texts.append(reported_text(line, figure))
        shown.add_row(line["label"], *texts, _minutes(line))
    return shown


def _minutes(line: Mapping) -> str:
    return MISSING if line["minutes"] is None else f"{line['minutes']:.1f}"
