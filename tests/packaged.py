"""A finished run that packaging takes, and a judge that finds what a test wants: for the tests of build/package.py."""

import dataclasses
import json
from pathlib import Path

import pytest
from untrained import make_run

from build import package as packaging
from build.recipes import find
from build.score.outcome import Outcome, Verdict

RECIPE = dataclasses.replace(
    find("smoke"),
    network="custom-cnn",
    depth=3,
    filters=4,
    minimum_held_out=0.5,
    minimum_perturbed=0.3,
    maximum_zip_mb=1.0,
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with one finished run of a tiny untrained network on 320 synthetic cells."""
    folder = tmp_path_factory.mktemp("workplace")
    make_run(folder, RECIPE, cells=320)
    return folder


@pytest.fixture
def here(workplace, monkeypatch) -> Path:
    """The workplace as the working directory, with an empty dist/."""
    monkeypatch.chdir(workplace)
    (workplace / "dist").mkdir(exist_ok=True)
    for path in (workplace / "dist").iterdir():
        path.unlink()
    return workplace


def card(clean=0.9, perturbed=0.6, seconds=2.0) -> dict:
    facts = {"held_out": {"accuracy": clean}, "perturbed_accuracy": perturbed, "seconds_per_1000": seconds}
    return facts | {"submission": {"file": "submission.zip"}}


class Judged:
    """Stands in for the judge where only what follows it is looked at."""

    def __init__(self, verdict: Verdict, facts: dict):
        self.verdict, self.card, self.entry = verdict, facts, "abc"

    def write(self, folder, explain=None):
        (folder / "scorecard.json").write_text(json.dumps(self.card))

    def show(self):
        pass


def judged(monkeypatch, facts: dict, outcome: Outcome | None = None, *, probed: bool = True) -> list:
    """Let the judge find `facts`; returns the calls that it got."""
    calls = []

    def rehearse(zip_path, held, **options):
        calls.append((Path(zip_path).read_bytes(), held, options))
        return Judged(Verdict(outcome or Outcome(), probed=probed), dict(facts))

    monkeypatch.setattr(packaging, "rehearse", rehearse)
    return calls


def make(**options) -> int:
    return packaging.package("latest", rows=16, team="us", **options)
