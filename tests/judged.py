"""Made-up judged submissions for the tests of the scorecard and the leaderboard: no image is drawn, no network asked."""

import io
from pathlib import Path

import numpy as np
from rich.console import Console

from build.score.leaderboard import command as door
from build.score.leaderboard.store import Store
from build.score.outcome import Outcome
from build.score.scorecard import assemble
from build.score.suites import Condition

CLASSES = ("red", "green", "blue")
SUITES = {"held-out": ("none",), "basic": ("blur", "noise"), "stacked": ("chains",)}
OPERATIONS = {"none": (), "blur": ("blur",), "noise": ("noise",), "chains": ("rotation", "equalize")}


def conditions(
    suites=SUITES, images: int = 120, rows: int = 60, definition: str = "d", seed: int = 0
) -> list[Condition]:
    """Conditions of `images` test images, `rows` of them a corruption (all in held-out), severities 1..5."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(CLASSES), images)
    made = []
    for suite, corruptions in suites.items():
        for corruption in corruptions:
            chosen = np.arange(images) if suite == "held-out" else np.sort(rng.choice(images, rows, replace=False))
            for severity in (0,) if suite == "held-out" else (1, 2, 3, 4, 5):
                made.append(
                    Condition(
                        suite,
                        corruption,
                        severity,
                        Path("none.npy"),
                        labels[chosen],
                        chosen,
                        OPERATIONS.get(corruption, ()),
                        f"{definition}-{suite}",
                    )
                )
    return made


def answers(asked: list[Condition], accuracy: float | dict[str, float], seed: int = 0) -> dict[str, np.ndarray]:
    """Answers that are right with that probability (by suite where a dict is given), else the next class."""
    rng = np.random.default_rng(seed)
    given = {}
    for one in asked:
        share = accuracy[one.suite] if isinstance(accuracy, dict) else accuracy
        wrong = rng.random(len(one.labels)) >= share
        given[one.key] = np.where(wrong, (one.labels + 1) % len(CLASSES), one.labels)
    return given


def card(asked: list[Condition], given: dict, *, outcome: dict | None = None, **changes) -> dict:
    """A scorecard of a submission that scored, unless `outcome` (fields of Outcome) says otherwise; `changes` go to its facts."""
    facts = {"file": "submission.zip", "zip_sha256": "ab" * 32, "zip_bytes": 12_300_000, "team": "us", **changes}
    facts |= {"weights_sha256": "cd" * 32, "commit": "0123abc"}
    recipe = {"name": "podium", "augmix_probability": 0.5}
    return assemble(
        asked,
        given,
        classes=CLASSES,
        outcome=Outcome(**(outcome or {"seconds": {"prediction": 2.0}, "peak_mib": 300.0})),
        submission=facts,
        seed=0,
        recipe=recipe,
        device="a test",
    )


SKILLS = {"atto": 0.93, "plain": 0.6, "nano": 0.8}


def filled(store: Store) -> Store:
    """Three scored entries and a failed one; the server said something about `nano`."""
    asked = conditions()
    for seed, (run, share) in enumerate(SKILLS.items()):
        given = answers(asked, share, seed=seed)
        made = card(asked, given, run=run, file=f"{run}.zip", zip_sha256=f"{seed}" * 64)
        store.add(made, asked, given)
    outcome = {"status": "failed", "reason": "It fell over."}
    store.add(card([], {}, outcome=outcome, run="broken", file="broken.zip", zip_sha256="f" * 64))
    store.record("nano", 0.91)
    return store


def printed(store: Store, page, **given) -> str:
    output = Console(file=io.StringIO(), width=190, highlight=False)
    door.main(store=store.folder, path=page, output=output, **given)
    return output.file.getvalue()


def lines_of(board) -> dict:
    return {line.id: line for line in board.lines}
