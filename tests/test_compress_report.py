"""Which candidate is chosen, and how they are shown."""

import numpy as np
import pytest

from build.compress.measure import difference
from build.compress.report import Row, choose, draw, front, markdown


def row(name: str, megabytes: float, change: float, *, other: float = 0.0) -> Row:
    accuracy = {"held-out": 0.9 + change / 100, "stacked": 0.6 + other / 100}
    return Row(
        name, int(megabytes * 1e6), 0.1, accuracy, {"held-out": change, "stacked": other}, dict.fromkeys(accuracy, 0.2)
    )


ROWS = [
    row("float32", 12, 0),
    row("float16", 6, 0),
    row("grid", 2, -0.1, other=-0.3),
    row("coarse", 1, +0.1, other=-1.2),
]


@pytest.mark.parametrize(
    ("limit", "budget", "name"),
    [
        (0, 0.5, "grid"),  # the smallest within the budget
        (0, 2.0, "coarse"),
        (0, 0.0, "float16"),
        (8, 0.5, "float16"),  # the most accurate that fits
        (5, 0.5, "grid"),
        (1.5, 2.0, "coarse"),
        (1.5, 0.5, None),
        (5, 0.2, None),  # every suite counts, not their mean
    ],
)
def test_limits_choose(limit, budget, name):
    best = choose(ROWS, size_limit_mb=limit, budget=budget)
    assert (best.name if best else None) == name


def test_the_front_holds_what_nothing_beats():
    worse = row("worse", 3, -2)
    assert [one.name for one in front([*ROWS, worse])] == ["coarse", "grid", "float16"]


def test_differences_are_of_the_same_images(rng):
    reference = rng.random(1000) < 0.9
    assert difference(reference, reference) == (0.0, 0.0)
    worse = reference.copy()
    worse[np.flatnonzero(reference)[:20]] = False
    worse[np.flatnonzero(~reference)[:5]] = True
    points, margin = difference(worse, reference)
    assert points == pytest.approx(-1.5)
    assert margin == pytest.approx(1.96 * np.sqrt(25 - 15**2 / 1000) / 10)


def test_the_table_and_the_plot_show_every_candidate(tmp_path):
    text = markdown(ROWS, chosen="grid", reference_bytes=12_000_000, title="Run x", size_limit_mb=5, budget=0.5)
    assert "Chosen: the most accurate zip of at most 5 MB with a loss of at most 0.5 points on each suite." in text
    assert "| grid | 2.00 | 6.0 | 0.8990 (-0.10 ± 0.20) | 0.5970 (-0.30 ± 0.20) | 0.10 | chosen |" in text
    assert [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")][1:] == [
        "| float32", "| float16", "| grid", "| coarse",
    ]  # fmt: skip
    draw(ROWS, tmp_path / "p.png", chosen="grid", reference_bytes=12_000_000, size_limit_mb=5, title="Run x")
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
