"""A zip, from test cells to everything that is known of it: suites -> judge -> scorecard -> leaderboard entry.

    rehearsal = rehearse(Path("submission.zip"), held, submission={"team": "you"})
    rehearsal.show(); rehearsal.write(Path("dist"))

Packaging and `python -m build score` both go through here, so that they cannot differ.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from build.console import console
from build.files import make_folder, sha256
from build.machine import machine
from build.score import scorecard, transcript
from build.score.held_out import HeldOut
from build.score.judge import SCRATCH, judge
from build.score.leaderboard.store import Store
from build.score.outcome import Verdict
from build.score.suites import CACHE, ROWS_PER_CONDITION, materialise
from submission.contract import CLASSES, COMPETITION

DEFAULT_SUITES = ("held-out", "basic", "microscopy", "stacked")
"""What the gates and the forecast need, and the one made for microscopes; the others of suites.py by name."""


@dataclass(frozen=True)
class Rehearsal:
    """A judged zip."""

    verdict: Verdict
    card: dict
    """Its scorecard (build/score/scorecard.py)."""
    held: HeldOut
    entry: str
    """Its id on the local leaderboard."""

    def show(self) -> None:
        """Print it; the verdict is the last line."""
        transcript.show(self.verdict, console, self.card)

    def write(self, folder: Path, explain: Callable | None = None) -> None:
        """Write scorecard.json and scorecard.html; `explain` gives heat maps for (images, labels)."""
        from build.score import page  # Jinja only where a page is asked for

        make_folder(folder)
        scorecard.write_json(self.card, folder / "scorecard.json")
        page.write_html(self.card, folder / "scorecard.html", images=self.held.images, explain=explain)


def rehearse(
    zip_path: Path,
    held: HeldOut,
    *,
    submission: Mapping,
    suites: Sequence[str] = DEFAULT_SUITES,
    rows: int = ROWS_PER_CONDITION,
    recipe: Mapping | None = None,
    baseline: Mapping | None = None,
    baseline_name: str = "",
    store: Store | None = None,
    cache: Path = CACHE,
    scratch: Path = SCRATCH,
    **options,
) -> Rehearsal:
    """Judge the zip on `suites` of the cells `held`, make its scorecard and add it to the leaderboard's store.

    Args:
        zip_path: what would be uploaded.
        held: test cells.
        submission: what is known of the zip (team, file, run, commit, weights_sha256); its hash and size are added.
        suites: names of build/score/suites.py or paths of suite files.
        rows: test images a condition.
        recipe: the fields of the recipe it was trained with, where known.
        baseline: another scorecard to compare with, called `baseline_name`.
        store: of the leaderboard, by default the one in runs/.
        cache: of perturbed images.
        scratch: of the judge.
        options: of build.score.judge.judge.

    """
    store = store or Store()
    make_folder(store.folder)  # where nothing can be written is known before the judge's minutes
    conditions = materialise(suites, held.images, held.labels, seed=held.seed, rows_per_condition=rows, cache=cache)
    with tempfile.TemporaryDirectory() as kept:
        verdict = judge(zip_path, conditions, scratch=scratch, keep=Path(kept), **options)
        known = {
            "file": Path(zip_path).name,
            "zip_sha256": sha256(zip_path),
            "zip_bytes": Path(zip_path).stat().st_size,
        }
        scored = not verdict.exit_code
        predictions = verdict.outcome.predictions if scored else {}
        card = scorecard.assemble(
            conditions,
            predictions,
            classes=CLASSES,
            outcome=verdict.outcome,
            submission=known | dict(submission),
            seed=held.seed,
            recipe=recipe,
            baseline=baseline,
            baseline_name=baseline_name,
            device=machine(),
            competition=COMPETITION,
            own_pairs=store.pairs(),
            source=held.source,
            synthetic=held.synthetic,
        )
        card["timing"] = verdict.timing
        entry = store.add(card, conditions, predictions)
    verdict.outcome.predictions = {}  # their files are gone: the store has the answers
    return Rehearsal(verdict, card, held, entry)
