"""The worker's protocol, one rule a test: directories, the copy rule, metadata, containers of a job, what passes between jobs."""

import json
import zipfile
from pathlib import Path

import bundles
import pytest
from containers import needs_bwrap

from build.errors import UserError
from build.score import worker
from build.score.outcome import Outcome
from build.score.worker import run

REPORT = """
import json, os, sys
found = {"cwd": os.getcwd(), "unbuffered": os.environ.get("PYTHONUNBUFFERED"), "tree": {}}
for top, folders, files in os.walk("/app"):
    found["tree"][top] = sorted(folders + files)
print(json.dumps(found))
"""
"""Prints what a container sees."""
TREE = """
for top, _, files in os.walk(os.path.join(data, "res")):
    for name in files:
        print(os.path.relpath(os.path.join(top, name), os.path.join(data, "res")))
"""
"""Prints the files that came from the prediction step."""


def rehearse(folder: Path, files: dict | None = None, *, programs: dict | None = None, **settings) -> Outcome:
    """Run a submission of these files with a tiny bundle; what is no setting of the worker's changes competition.yaml."""
    known = {"engine", "era", "phase", "time_limit", "memory_limit", "output_limit", "environment"}
    changes = {key: settings.pop(key) for key in list(settings) if key not in known}
    bundle = bundles.bundle(folder / "bundle", programs=programs, **changes)
    return run(bundles.submission(folder / "submission.zip", files), bundle, work=folder / "work", **settings)


def log(outcome: Outcome, step: str, source: str, stream: str = "stdout") -> str:
    found = [one.text for one in outcome.logs if (one.step, one.source, one.stream) == (step, source, stream)]
    assert len(found) == 1, [(one.step, one.source, one.stream) for one in outcome.logs]
    return found[0]


def test_a_right_submission_scores_and_a_wrong_one_scores_less(tmp_path):
    outcome = rehearse(tmp_path)
    assert (outcome.status, outcome.scores, outcome.reason) == ("scored", {"accuracy": 1.0}, "")
    assert outcome.findings == []
    assert log(outcome, "prediction", "ingestion") == "ingestion was here\n"
    assert log(outcome, "scoring", "program") == "scoring was here\n"
    assert outcome.seconds["prediction"] > 0
    assert outcome.peak_mib > 1
    wrong = {"model.py": bundles.MODEL.replace("6 * X", "X")}
    assert rehearse(tmp_path / "wrong", wrong).scores == {"accuracy": 0.0}


@needs_bwrap
def test_each_container_sees_the_directories_of_its_job(tmp_path):
    outcome = rehearse(
        tmp_path,
        {"model.py": bundles.MODEL, "metadata": "command: python3 look.py", "look.py": REPORT},
        programs={
            "ingestion_program": bundles.ingestion(bundles.INGESTION + REPORT),
            "scoring_program": bundles.scoring(REPORT + bundles.SCORING),
        },
    )
    assert outcome.status == "scored", outcome.reason
    ingestion = json.loads(log(outcome, "prediction", "ingestion").splitlines()[-1])
    assert ingestion["tree"]["/app"] == ["data", "ingested_program", "input_data", "output", "program"]
    assert ingestion["tree"]["/app/program"] == ["ingestion.py", "metadata.yaml"]
    assert ingestion["tree"]["/app/ingested_program"] == ["look.py", "metadata", "model.py"]
    assert ingestion["tree"]["/app/input_data"] == ["numbers.txt"]
    submission = json.loads(log(outcome, "prediction", "program"))
    assert submission["tree"]["/app"] == ["data", "input_data", "output", "program"]
    assert submission["tree"]["/app/program"] == ["look.py", "metadata", "model.py"]
    scoring = json.loads(log(outcome, "scoring", "program").splitlines()[0])
    assert scoring["tree"]["/app"] == ["data", "input", "output", "program", "shared"]
    assert scoring["tree"]["/app/input"] == ["ref", "res"]
    assert scoring["tree"]["/app/input/ref"] == ["truth.txt"]
    assert scoring["tree"]["/app/input/res"] == ["metadata", "said.txt"]
    for found in (ingestion, submission, scoring):
        assert (found["cwd"], found["unbuffered"]) == ("/app/program", "1")


def test_without_metadata_the_whole_submission_is_copied_before_the_ingestion_starts(tmp_path):
    first = bundles.INGESTION.replace("sys.path", "print(sorted(os.listdir(output)))\nsys.path", 1)
    outcome = rehearse(
        tmp_path,
        {"model.py": bundles.MODEL, "deep/weights.bin": "w"},
        programs={
            "ingestion_program": bundles.ingestion(first),
            "scoring_program": bundles.scoring(bundles.SCORING + TREE),
        },
    )
    assert log(outcome, "prediction", "ingestion").splitlines()[0] == "['deep', 'model.py']"
    carried = log(outcome, "scoring", "program").splitlines()[1:]
    assert sorted(carried) == ["deep/weights.bin", "metadata", "model.py", "said.txt"]


@pytest.mark.parametrize("name", ["metadata", "metadata.yaml"])
def test_an_empty_metadata_file_keeps_the_submission_out_of_the_output(name, tmp_path):
    scoring = bundles.scoring(bundles.SCORING + TREE)
    outcome = rehearse(
        tmp_path, {"model.py": bundles.MODEL, "weights.bin": "w", name: ""}, programs={"scoring_program": scoring}
    )
    assert outcome.scores == {"accuracy": 1.0}
    assert sorted(log(outcome, "scoring", "program").splitlines()[1:]) == ["metadata", "said.txt"]


def test_a_submission_with_a_command_runs_beside_the_ingestion_and_shares_its_output(tmp_path):
    wait = """
import os, sys, time
mine, other = (os.path.join(sys.argv[1], name) for name in sys.argv[2:4])
open(mine, "w").close()
while not os.path.exists(other):
    time.sleep(0.01)
"""
    meet = wait.replace("sys.argv[1]", "sys.argv[2]").replace("sys.argv[2:4]", "('ingestion', 'submission')")
    outcome = rehearse(
        tmp_path,
        {
            "model.py": bundles.MODEL,
            "metadata": "command: python3 wait.py $output submission ingestion",
            "wait.py": wait,
        },
        programs={"ingestion_program": bundles.ingestion(meet + bundles.INGESTION)},
        time_limit=20,
    )
    assert (outcome.status, outcome.scores) == ("scored", {"accuracy": 1.0}), outcome.reason


def test_a_submission_of_results_needs_no_ingestion(tmp_path):
    task = {key: value for key, value in bundles.values()["tasks"][0].items() if key != "ingestion_program"}
    outcome = rehearse(tmp_path, {"said.txt": "42"}, tasks=[task])
    assert (outcome.status, outcome.scores) == ("scored", {"accuracy": 1.0})
    assert {one.step for one in outcome.logs} == {"scoring"}


def test_the_scoring_step_reads_how_the_prediction_step_ended(tmp_path):
    scoring = bundles.scoring(bundles.SCORING + "print(open(os.path.join(data, 'res', 'metadata')).read())")
    ingestion = bundles.ingestion(bundles.INGESTION + "sys.exit(4)")
    outcome = rehearse(tmp_path, programs={"scoring_program": scoring, "ingestion_program": ingestion})
    text = log(outcome, "scoring", "program")
    assert "ingestionExitCode: 4" in text
    assert "exitCode: null" in text
    assert "elapsedTime: " in text


def test_the_name_metadata_is_the_workers_own_in_both_outputs(tmp_path):
    write = "\nopen(os.path.join(output, 'metadata'), 'w').close()\n"
    ingestion = {"ingestion_program": bundles.ingestion(bundles.INGESTION + write)}
    outcome = rehearse(tmp_path / "a", programs=ingestion)
    assert (outcome.status, outcome.step) == ("failed", "prediction")
    assert "file called metadata" in outcome.reason
    outcome = rehearse(tmp_path / "b", programs={"scoring_program": bundles.scoring(bundles.SCORING + write)})
    assert (outcome.status, outcome.step, outcome.scores) == ("failed", "scoring", {})


def test_ingestion_only_during_scoring_sees_the_results_as_the_submission(tmp_path):
    kinds = bundles.values()["tasks"][0] | {"ingestion_only_during_scoring": True}
    ingestion = """
import os, sys
print(sorted(os.listdir(sys.argv[3])), os.listdir(sys.argv[1]))
with open(os.path.join(sys.argv[2], "note"), "w") as file:
    file.write("made while scoring")
"""
    # The scoring program's own folder is "$program" no more: the worker writes a path that it never mounts.
    scoring = """
import json, os, sys, time
note = os.path.join(sys.argv[2], "note")
while not os.path.exists(note):
    time.sleep(0.01)
with open(os.path.join(sys.argv[2], "scores.json"), "w") as file:
    json.dump({"accuracy": 0.5}, file)
print(sys.argv[3])
"""
    outcome = rehearse(
        tmp_path,
        programs={
            "ingestion_program": bundles.ingestion(ingestion),
            "scoring_program": bundles.program(scoring, "python3 scoring.py $input $output $program", "scoring.py"),
        },
        tasks=[kinds],
        time_limit=20,
    )
    assert (outcome.status, outcome.scores) == ("scored", {"accuracy": 0.5}), outcome.reason
    assert log(outcome, "scoring", "ingestion") == "['metadata', 'model.py'] ['numbers.txt']\n"
    assert log(outcome, "scoring", "program").strip().endswith("/app/ingestion_program")
    assert {one.source for one in outcome.logs if one.step == "prediction"} == set()


def test_several_tasks_run_one_after_the_other_and_the_first_failure_stands(tmp_path):
    task = bundles.values()["tasks"][0]
    programs = {"reference_b": {"truth.txt": "41"}}
    tasks = [task | {"name": "a"}, task | {"index": 1, "name": "b", "reference_data": "reference_b/"}]
    phase = bundles.values()["phases"][0] | {"tasks": [0, 1]}
    outcome = rehearse(tmp_path, programs=programs, tasks=tasks, phases=[phase])
    assert outcome.scores == {"a/accuracy": 1.0, "b/accuracy": 0.0}
    broken = {"scoring_b": bundles.scores("sys.exit('b is broken')")}
    tasks = [*tasks, task | {"index": 2, "name": "c"}]
    tasks[1] |= {"scoring_program": "scoring_b/"}
    phase["tasks"] = [0, 1, 2]
    outcome = rehearse(tmp_path / "broken", programs=programs | broken, tasks=tasks, phases=[phase])
    assert outcome.status == "failed"
    assert "b is broken" in outcome.reason
    assert outcome.scores == {"a/accuracy": 1.0}


def test_the_phase_decides_about_tasks_and_time(tmp_path):
    task = bundles.values()["tasks"][0]
    tasks = [task, task | {"index": 1, "reference_data": "reference_b/"}]
    phases = [
        {"index": 0, "name": "a", "start": "2024-01-01", "end": "2024-01-02", "tasks": [0]},
        {"index": 1, "name": "b", "start": "2024-01-03", "tasks": [1], "execution_time_limit": 33},
    ]
    programs = {"reference_b": {"truth.txt": "0"}}
    outcome = rehearse(tmp_path, programs=programs, tasks=tasks, phases=phases, phase=1)
    assert (outcome.scores, outcome.time_limit) == ({"accuracy": 0.0}, 33.0)
    with pytest.raises(UserError, match="has 2 phases; there is no phase 2"):
        rehearse(tmp_path, programs=programs, tasks=tasks, phases=phases, phase=2)


def test_there_is_no_shell_around_a_command(tmp_path):
    printing = "import sys\nprint(sys.argv[1:])\n"
    command = "python3 say.py $HOME * && echo 'two words'"
    for era, last in (("2024-11", ["'two", "words'"]), ("2026-03", ["two words"])):
        files = {"model.py": bundles.MODEL, "say.py": printing, "metadata": f"command: {command}"}
        outcome = rehearse(tmp_path / era, files, era=era)
        assert log(outcome, "prediction", "program").strip() == str(["$HOME", "*", "&&", "echo", *last])


def test_programs_of_the_older_kind_with_metadata_without_ending_run(tmp_path):
    ingestion = bundles.program(
        bundles.INGESTION, "python $program/ingestion.py $input $output $submission_program", "ingestion.py", "metadata"
    )
    assert rehearse(tmp_path, programs={"ingestion_program": ingestion}).scores == {"accuracy": 1.0}


def test_a_zip_in_the_bundle_and_relative_paths_work(tmp_path, monkeypatch):
    folder = bundles.bundle(tmp_path / "bundle")
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    bundles.submission(tmp_path / "submission.zip")
    monkeypatch.chdir(tmp_path)
    for bundle in ("bundle", "bundle.zip"):
        outcome = run(Path("submission.zip"), Path(bundle), work=Path(f"work-{bundle}"))
        assert outcome.scores == {"accuracy": 1.0}, outcome.reason


def test_nothing_is_written_into_the_bundle_or_beside_the_zip(tmp_path):
    ingestion = bundles.ingestion("import extra\n" + bundles.INGESTION) | {"extra.py": ""}
    for engine in ("auto", "plain"):
        outcome = rehearse(tmp_path / engine, programs={"ingestion_program": ingestion}, engine=engine)
        assert outcome.status == "scored"
        assert sorted(path.name for path in (tmp_path / engine).iterdir()) == ["bundle", "submission.zip", "work"]
        assert not list((tmp_path / engine / "bundle").rglob("__pycache__"))


def test_the_default_queue_caps_what_a_phase_allows(tmp_path):
    phases = bundles.values()["phases"]
    phases[0]["execution_time_limit"] = 3600
    capped = rehearse(tmp_path / "default", phases=phases, engine="plain")
    assert capped.time_limit == 600
    (finding,) = capped.findings
    assert finding.message == "The phase allows 3600 s a job, but the server's default queue ends it after 600 s."
    own = "a9c2f0de-7b11-4c9e-8a59-3f1e2d4c5b6a"
    for settings, limit in (({"queue": own}, 3600), ({"time_limit": 900}, 900)):
        outcome = rehearse(tmp_path / str(limit), phases=phases, engine="plain", **settings)
        assert (outcome.status, outcome.time_limit, outcome.findings) == ("scored", limit, [])


def test_wrong_calls_are_sentences(tmp_path):
    bundle, zip_path = bundles.bundle(tmp_path / "bundle"), bundles.submission(tmp_path / "s.zip")
    for settings, words in (
        ({"era": "2025"}, "choose one of 2024-11, 2026-03"),
        ({"time_limit": 0}, "time limit must be above 0"),
        ({"memory_limit": -1}, "memory limit must be above 0"),
        ({"engine": "podman"}, "Unknown engine"),
    ):
        with pytest.raises(UserError, match=words):
            worker.run(zip_path, bundle, work=tmp_path / "work", **settings)
    with pytest.raises(UserError, match="There is no zip at"):
        worker.run(tmp_path / "absent.zip", bundle, work=tmp_path / "work")
