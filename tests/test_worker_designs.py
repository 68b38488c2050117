"""The ways in which a competition may run a submission, and what the worker makes of a zip that is not made for one of them."""

import bundles
import pytest
from containers import needs_bwrap
from test_worker import rehearse

from build import package
from build.score.environment import ServerEnvironment

SCORES_THE_MODEL = """
import json, os, sys
data, output = sys.argv[1:3]
sys.path.insert(0, os.path.join(data, "res"))
from model import Model
with open(os.path.join(output, "scores.json"), "w") as file:
    json.dump({"accuracy": float(Model().predict(7) == 42)}, file)
"""
"""A scoring program that predicts by itself."""
PREDICTS = bundles.INGESTION + "open(os.path.join(output, 'done'), 'w').close()\n"
WAITS = """
import json, os, sys, time
data, output = sys.argv[1:3]
while not os.path.exists(os.path.join(output, "done")):
    time.sleep(0.01)
with open(os.path.join(output, "said.txt")) as said, open(os.path.join(data, "ref", "truth.txt")) as truth:
    right = said.read() == truth.read()
with open(os.path.join(output, "scores.json"), "w") as file:
    json.dump({"accuracy": float(right)}, file)
"""
"""A scoring program beside which the ingestion program predicts."""
SCORING_BESIDE = bundles.program(WAITS, "python3 scoring.py $input $output", "scoring.py")
"""By its working directory: its own folder is "$program" no more where an ingestion runs beside it."""
TASK = bundles.values()["tasks"][0]
DESIGNS = {
    "ingestion while predicting": ({}, TASK),
    "ingestion while scoring": (
        {"ingestion_program": bundles.ingestion(PREDICTS), "scoring_program": SCORING_BESIDE},
        TASK | {"ingestion_only_during_scoring": True},
    ),
    "no ingestion": (
        {"scoring_program": bundles.scoring(SCORES_THE_MODEL)},
        {key: value for key, value in TASK.items() if key != "ingestion_program"},
    ),
}


@pytest.mark.parametrize("design", DESIGNS)
def test_what_package_puts_into_a_zip_scores_in_every_design(design, tmp_path):
    programs, task = DESIGNS[design]
    files = dict.fromkeys((*package.SHIPPED, package.WEIGHTS), "") | {"model.py": bundles.MODEL}
    outcome = rehearse(tmp_path, files, programs=programs, tasks=[task], time_limit=20)
    assert (outcome.status, outcome.scores) == ("scored", {"accuracy": 1.0}), outcome.reason


def test_what_the_server_lacks_is_hidden_from_a_zip_that_the_scoring_program_imports(tmp_path):
    programs, task = DESIGNS["no ingestion"]
    files = {"model.py": "import pyflakes\n" + bundles.MODEL}
    outcome = rehearse(tmp_path, files, programs=programs, tasks=[task], environment=ServerEnvironment.read())
    assert outcome.status == "failed"
    assert "pyflakes" in outcome.reason
    assert rehearse(tmp_path / "known", files, programs=programs, tasks=[task]).status == "scored"


def test_a_zip_of_which_nothing_reaches_the_scoring_step_fails(tmp_path):
    programs, task = DESIGNS["no ingestion"]
    outcome = rehearse(tmp_path, {"model.py": bundles.MODEL, "metadata": ""}, programs=programs, tasks=[task])
    assert (outcome.status, outcome.step) == ("failed", "prediction")
    assert "Nothing was copied and nothing ran" in outcome.reason


@pytest.mark.parametrize("era", ["2024-11", "2026-03"])
@pytest.mark.parametrize("text", [b"\xff\xfe", "command: [python3, x.py]", "command: 5"])
def test_metadata_that_the_worker_stumbles_over_fails(text, era, tmp_path):
    outcome = rehearse(tmp_path, {"model.py": bundles.MODEL, "metadata": text}, era=era)
    assert (outcome.status, outcome.step) == ("failed", "prediction")
    assert "cannot read the file metadata" in outcome.reason


@pytest.mark.parametrize("engine", [pytest.param("bwrap", marks=needs_bwrap), "plain"])
def test_a_submission_may_write_beside_itself_and_the_next_one_sees_nothing_of_it(engine, tmp_path):
    text = (
        "from pathlib import Path\nHERE = Path(__file__).parent\n"
        "class Model:\n    def predict(self, X):\n"
        "        assert not (HERE / 'cache.txt').exists()\n        (HERE / 'cache.txt').write_text('x')\n        return 6 * X\n"
    )
    outcome = rehearse(tmp_path, {"model.py": text, "metadata": ""}, engine=engine)
    assert (outcome.status, outcome.scores) == ("scored", {"accuracy": 1.0}), outcome.reason
    assert not list((tmp_path / "work").rglob("cache.txt"))
