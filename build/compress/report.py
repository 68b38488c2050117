"""What the candidates of a run are worth: one of them chosen, as JSON, as a Markdown table, as a plot with its Pareto front."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from build.files import atomic

COLOURS = {
    "tfmot": ("tab:red", "tensorflow-model-optimization"),
    "tuned": ("tab:green", "fine-tuned as stored"),
    "": ("tab:blue", "stored as trained"),
}
"""Beginning of a candidate's name -> its colour and meaning in the plot; the first that fits."""


@dataclass(frozen=True)
class Row:
    """One candidate, measured."""

    name: str
    zip_bytes: int
    """Of the whole submission with these weights."""
    load_seconds: float
    """To read, check and unpack the weights file."""
    accuracy: dict[str, float]
    """Suite -> 0..1."""
    change: dict[str, float]
    """Suite -> points above (below: negative) the float32 weights on the same images."""
    margin: dict[str, float]
    """Half the width of the change's 95 % interval, points."""

    @property
    def loss(self) -> float:
        """Points that the worst suite lost; 0 where none lost any."""
        return max(0.0, *(-points for points in self.change.values()))

    @property
    def mean(self) -> float:
        """Accuracy, mean over the suites."""
        return sum(self.accuracy.values()) / len(self.accuracy)


def choose(rows: Sequence[Row], *, size_limit_mb: float, budget: float) -> Row | None:
    """The smallest zip that loses at most `budget` points on each suite; under a size limit (MB, > 0) the most accurate one that fits.

    None where no candidate meets both.
    """
    fit = [row for row in rows if row.loss <= budget and (not size_limit_mb or row.zip_bytes <= size_limit_mb * 1e6)]
    if size_limit_mb:
        return max(fit, key=lambda row: (row.mean, -row.zip_bytes), default=None)
    return min(fit, key=lambda row: (row.zip_bytes, -row.mean), default=None)


def front(rows: Sequence[Row]) -> list[Row]:
    """The candidates that no other one beats in size and mean accuracy, from small to large."""
    best: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.zip_bytes, -row.mean)):
        if not best or row.mean > best[-1].mean:
            best.append(row)
    return best


def wish(size_limit_mb: float, budget: float) -> str:
    """What `choose` was asked for, in words."""
    loss = f"a loss of at most {budget:g} points on each suite"
    if size_limit_mb:
        return f"the most accurate zip of at most {size_limit_mb:g} MB with {loss}"
    return f"the smallest zip with {loss}"


def facts(rows: Sequence[Row]) -> list[dict]:
    """JSON-able."""
    return [asdict(row) for row in rows]


def markdown(
    rows: Sequence[Row], *, chosen: str, reference_bytes: int, title: str, size_limit_mb: float, budget: float
) -> str:
    """The table, from the largest zip to the smallest; sizes also against the float32 .keras file, zipped."""
    suites = list(rows[0].accuracy)
    head = ["method", "zip MB", "times smaller", *suites, "load s", ""]
    lines = [
        f"# {title}",
        "",
        f"float32 `.keras` file, zipped: {reference_bytes / 1e6:.2f} MB. In brackets: points against float32 on the same images, and half "
        f"the width of their 95 % interval. Chosen: {wish(size_limit_mb, budget)}.",
        "",
    ]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in sorted(rows, key=lambda row: -row.zip_bytes):
        cells = [f"{row.accuracy[suite]:.4f} ({row.change[suite]:+.2f} ± {row.margin[suite]:.2f})" for suite in suites]
        size, ratio = f"{row.zip_bytes / 1e6:.2f}", f"{reference_bytes / row.zip_bytes:.1f}"
        mark = "chosen" if row.name == chosen else ""
        lines.append("| " + " | ".join([row.name, size, ratio, *cells, f"{row.load_seconds:.2f}", mark]) + " |")
    return "\n".join(lines) + "\n"


def draw(
    rows: Sequence[Row], path: Path, *, chosen: str, reference_bytes: int, size_limit_mb: float, title: str
) -> None:
    """Size of the zip against accuracy, one panel a suite, with the Pareto front of the mean and the limits asked for."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    suites = list(rows[0].accuracy)
    figure = Figure(figsize=(5 * len(suites), 4.6), layout="constrained")
    edge = front(rows)
    for axis, suite in zip(figure.subplots(1, len(suites), squeeze=False)[0], suites, strict=True):
        axis.plot(
            [row.zip_bytes / 1e6 for row in edge],
            [100 * row.accuracy[suite] for row in edge],
            color="silver",
            zorder=0,
            label="Pareto front (mean of the suites)",
        )
        for row in rows:
            kind = next((colour for start, (colour, _) in COLOURS.items() if row.name.startswith(start)))
            place = row.zip_bytes / 1e6, 100 * row.accuracy[suite]
            axis.errorbar(
                *place,
                yerr=row.margin[suite] or None,
                fmt="*" if row.name == chosen else "o",
                color=kind,
                capsize=2,
                markersize=13 if row.name == chosen else 5,
            )
            axis.annotate(row.name, place, xytext=(4, 4), textcoords="offset points", fontsize=7, rotation=30)
        for times in (4, 8):
            axis.axvline(reference_bytes / times / 1e6, color="grey", linestyle=":", linewidth=1)
            axis.annotate(
                f"{times}x", (reference_bytes / times / 1e6, 0.01), xycoords=("data", "axes fraction"), fontsize=7
            )
        if size_limit_mb:
            axis.axvline(size_limit_mb, color="tab:red", linewidth=1, label="size limit")
        axis.set(xscale="log", xlabel="zip, MB", ylabel="accuracy, %", title=suite)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xticks(
            [
                size
                for size in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
                if min(row.zip_bytes for row in rows) / 1.5e6 <= size <= max(row.zip_bytes for row in rows) / 0.67e6
            ]
        )
        axis.grid(alpha=0.3)
    for colour, label in COLOURS.values():
        figure.axes[0].plot([], [], "o", color=colour, label=label, markersize=5)
    if chosen:
        figure.axes[0].plot([], [], "*", color="grey", label="chosen", markersize=10)
    figure.axes[0].plot([], [], ":", color="grey", linewidth=1, label="times smaller than the float32 .keras file")
    figure.axes[0].legend(fontsize=7, frameon=False, loc="lower right")
    figure.suptitle(title, fontsize=10)
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=110)
