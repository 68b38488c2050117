"""The scorecard as one self-contained HTML page: no network, light and dark, readable on a phone and on paper."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from build.files import write_text
from build.score.drawing import data_address, heat_over, interval_bar, severity_curve
from build.score.leaderboard.forecast import why_not
from build.score.metrics import wilson
from build.score.suites import SUITES

TEMPLATES = Path(__file__).parent / "templates"
Explain = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""explain(images (n, H, W, 3) uint8, labels (n,) int64) -> heat maps (n, h, w), 0..1, for those labels."""


def share(value: float | None) -> str:
    """A share 0..1 as a percentage; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def number(value: float | None) -> str:
    """Two decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.2f}"


def size(count: int) -> str:
    """Bytes in decimal megabytes, as upload limits are stated; small ones in kilobytes."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def environment(*folders: Path) -> Environment:
    """Jinja with the templates of `folders` and ours: everything escaped, an unknown name is an error."""
    env = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {"share": share, "number": number}
    env.globals |= {"interval_bar": interval_bar}
    return env


def tiles(card: Mapping) -> list[dict]:
    """The headline numbers: what the server would say first, then accuracy, then cost."""
    rows = []
    if forecast := card.get("forecast"):
        rows.append(
            {
                "name": "Forecast of the server's score",
                "value": f"{forecast['score']:.2f}",
                "range": f"{forecast['low']:.2f} to {forecast['high']:.2f}, {forecast['confidence']:.0%} interval",
                "first": True,
            }
        )
    for name, title in (("held-out", "Held-out accuracy"), ("basic", "Perturbed (basic)"), ("stacked", "Stacked")):
        if suite := card["suites"].get(name):
            bounds = f"{share(suite['low'])} to {share(suite['high'])}"
            rows.append({"name": title, "value": share(suite["accuracy"]), "range": bounds, "first": False})
    if card.get("seconds_per_1000") is not None:
        rows.append(
            {
                "name": "Time for 1,000 images",
                "value": f"{card['seconds_per_1000']:.1f}\N{NO-BREAK SPACE}s",
                "range": card.get("device") or "",
                "first": False,
            }
        )
    if card.get("peak_mib") is not None:
        limit = card["outcome"].get("memory_limit")
        rows.append(
            {
                "name": "Peak memory",
                "value": memory(card["peak_mib"]),
                "range": f"limit {limit:,.0f} MiB" if limit else "no limit set",
                "first": False,
            }
        )
    if card["submission"].get("zip_bytes") is not None:
        rows.append({"name": "Zip", "value": size(card["submission"]["zip_bytes"]), "range": "", "first": False})
    return rows


def memory(mib: float) -> str:
    """Three digits at most, so that a tile holds it: "310 MiB", "1.1 GiB"."""
    return f"{mib:.0f}\N{NO-BREAK SPACE}MiB" if mib < 1000 else f"{mib / 1024:.1f}\N{NO-BREAK SPACE}GiB"


def curves(card: Mapping) -> list[dict]:
    """A panel a corruption, the worst first, for every suite with severities."""
    suites = []
    for name, suite in card["suites"].items():
        groups: dict[str, list[Mapping]] = {}
        for row in suite["conditions"]:
            if row["severity"] > 0:
                groups.setdefault(row["corruption"], []).append(row)
        if not groups:
            continue
        severities = sorted({row["severity"] for rows in groups.values() for row in rows})
        known = all(row.get("clean") is not None for rows in groups.values() for row in rows)
        mean = [(0, float(np.mean([row["clean"] for rows in groups.values() for row in rows])))] if known else []
        for severity in severities:
            at = [row["accuracy"] for rows in groups.values() for row in rows if row["severity"] == severity]
            mean.append((severity, float(np.mean(at))))
        panels = []
        for corruption, rows in groups.items():
            # The same images as they are: other ones may be easier.
            clean, n = rows[0].get("clean"), rows[0]["n"]
            points = [] if clean is None else [(0, clean, *wilson(clean * n, n))]
            points += [(row["severity"], row["accuracy"], row["low"], row["high"]) for row in rows]
            panels.append(
                {
                    "name": corruption,
                    "accuracy": float(np.mean([row["accuracy"] for row in rows])),
                    "seen": rows[0]["seen"],
                    "drawing": severity_curve(f"{name} {corruption}", points, mean),
                }
            )
        panels.sort(key=lambda panel: panel["accuracy"])
        about = SUITES[name].about if name in SUITES else ""
        suites.append({"name": name, "accuracy": suite["accuracy"], "about": about, "panels": panels})
    return suites


def misses(card: Mapping, images: np.ndarray | None, explain: Explain | None) -> list[dict]:
    """The worst images with their pictures, and where the network looked if it can be asked."""
    if images is None or not card["worst"]:
        return []
    chosen = [entry for entry in card["worst"] if entry["row"] < len(images)]
    pictures = np.stack([images[entry["row"]] for entry in chosen])
    heats = None
    if explain is not None:
        heats = np.asarray(explain(pictures, np.array([entry["called"] for entry in chosen], np.int64)))
        assert heats.shape[:1] == pictures.shape[:1], f"{len(heats)} heat maps for {len(pictures)} images"
        assert heats.ndim == 3
    rows = []
    for index, entry in enumerate(chosen):
        heat = "" if heats is None else data_address(heat_over(pictures[index], heats[index]))
        names = {"label": card["classes"][entry["label"]], "called": card["classes"][entry["called"]]}
        rows.append({**entry, **names, "picture": data_address(pictures[index]), "heat": heat})
    return rows


def looks(card: Mapping, images: np.ndarray | None, explain: Explain | None) -> list[dict]:
    """One right and one wrong answer of every class about images as they are, with their heat maps."""
    if images is None or explain is None or not card.get("attention"):
        return []
    chosen: dict[tuple[int, bool], Mapping] = {}
    for one in card["attention"]["examples"]:
        if one["suite"] == "held-out":
            chosen.setdefault((one["label"], one["called"] == one["label"]), one)
    if not chosen:
        return []
    examples = list(chosen.values())
    pictures = np.stack([images[one["row"]] for one in examples])
    heats = explain(pictures, np.array([one["called"] for one in examples], np.int64))
    return [
        {
            "label": card["classes"][one["label"]],
            "called": card["classes"][one["called"]],
            "right": one["called"] == one["label"],
            "share": one["share"],
            "picture": data_address(picture),
            "heat": data_address(heat_over(picture, heat)),
        }
        for one, picture, heat in zip(examples, pictures, heats, strict=True)
    ]


def hidden(timing: Mapping, outcome: Mapping) -> str:
    """What the hidden set would take, where its size is known."""
    if timing.get("hidden_seconds") is None:
        return ""
    parts = [f"{timing['hidden_images']:,} images would take {timing['hidden_seconds']:,.0f} s"]
    parts += [f"of {outcome['time_limit']:,.0f} s that a job may take"] if outcome.get("time_limit") else []
    parts += [f"and {memory(timing['hidden_mib'])} in one call"] if timing.get("hidden_mib") is not None else []
    return " ".join(parts)


def facts(card: Mapping) -> list[tuple[str, str]]:
    """Name and value of everything that the numbers depend on."""
    submission, outcome = card["submission"], card["outcome"]
    rows = [
        ("Test images", f"{card['held_out']['n']:,}" if card.get("held_out") else ""),
        ("Answers over all conditions", f"{card['images']:,}"),
        ("Cells", card.get("source") or ""),
        ("Seed of the suites", str(card["seed"])),
        ("Device", card.get("device") or ""),
        ("Engine", " ".join(str(outcome[key]) for key in ("engine", "era") if outcome.get(key))),
        ("Commit", submission.get("commit") or ""),
        ("SHA-256 of the zip", submission.get("zip_sha256") or ""),
        ("SHA-256 of the weights", submission.get("weights_sha256") or ""),
        ("Trained with", "not known" if card["trained_with"] is None else ", ".join(card["trained_with"]) or "nothing"),
        ("Hidden set", hidden(card.get("timing") or {}, outcome)),
        (
            "Wall time of the steps, of several jobs the longest",
            ", ".join(f"{k} {v:.1f} s" for k, v in (outcome.get("seconds") or {}).items()),
        ),
        ("Suite definitions", ", ".join(f"{name} {suite['definition']}" for name, suite in card["suites"].items())),
        ("Not isolated", " ".join(outcome.get("not_isolated") or ())),
    ]
    return [(name, value) for name, value in rows if value]


def write_html(card: Mapping, path: Path, *, images: np.ndarray | None = None, explain: Explain | None = None) -> None:
    """Write the page, atomically.

    images: the test images (N, H, W, 3) uint8 that the card's rows count in; without them the worst images have no
    picture. explain gives a heat map for (images, labels), for instance a Grad-CAM; without it none is shown.
    """
    page = environment().get_template("scorecard.html.j2")
    shown = misses(card, images, explain)
    write_text(
        Path(path),
        page.render(
            card=card,
            tiles=tiles(card),
            curves=curves(card),
            misses=shown,
            explained=bool(shown) and explain is not None,
            attention=card.get("attention"),  # cards of earlier versions have none
            looks=looks(card, images, explain),
            facts=facts(card),
            no_forecast=why_not(card),
        ),
    )
