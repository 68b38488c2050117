"""A bundle that Codabench's unpacker would refuse is refused here, with the rule that it breaks."""

import datetime
import zipfile

import bundles
import pytest
import yaml

from build.errors import UserError
from build.score.competition import load
from build.score.outcome import Finding
from build.score.unpacker.phases import moment
from build.score.unpacker.rules import violations


def rules(folder, *, files: dict | None = None, **changes) -> list[str]:
    """Rules that a bundle with these changes breaks."""
    bundle = bundles.bundle(folder / "bundle", programs=files, **changes)
    return [finding.rule for finding in broken(bundle)]


def broken(bundle) -> list[Finding]:
    """What is wrong with a bundle whose competition.yaml can be read."""
    return violations(bundle, yaml.safe_load((bundle / "competition.yaml").read_text()))


def changed(part: str, index: int = 0, **changes) -> dict:
    """The values of one entry of a list of competition.yaml changed; None removes a key, EMPTY stays as null."""
    entries = bundles.values()[part]
    entries[index] = {
        key: None if value is EMPTY else value for key, value in (entries[index] | changes).items() if value is not None
    }
    return {part: entries}


EMPTY = object()


def columns(**changes) -> dict:
    """The first column of the leaderboard changed."""
    first, *others = bundles.COLUMNS
    return changed("leaderboards", columns=[{k: v for k, v in (first | changes).items() if v is not None}, *others])


def computed(**keys) -> dict:
    """A third, computed column."""
    return changed("leaderboards", columns=[*bundles.COLUMNS, {"key": "all", "title": "All", "index": 2, **keys}])


def phases(*dates: tuple[str | None, str | None], **last) -> dict:
    """Phases with these (start, end)."""
    found = [{"name": f"P{i}", "index": i, "start": a, "end": b, "tasks": [0]} for i, (a, b) in enumerate(dates)]
    found[-1] |= last
    return {"phases": [{key: value for key, value in phase.items() if value is not None} for phase in found]}


def test_the_tiny_bundle_breaks_no_rule(tmp_path):
    assert rules(tmp_path) == []


FINE = {
    "a phase without end that is the last": phases(("2024-01-01", "2024-02-01"), ("2024-02-02", None)),
    "phases out of order, sorted by index": {"phases": phases(("2024-01-01", "2024-02-01"), ("2024-02-02", None))["phases"][::-1]},
    "empty quotas": phases(("2024-01-01", None), max_submissions=EMPTY),
    "a computed column": computed(computation="avg", computation_indexes=[0, 1]),
    "unknown keys": {"mood": "good", **changed("leaderboards", index=0)},
    "a task on the server": {"tasks": [{"index": 0, "key": "93e9b0f4-0f09-4a45-a3e0-9b2f5b3a1a11"}]},
    "a dataset on the server": changed("tasks", input_data="93e9b0f4-0f09-4a45-a3e0-9b2f5b3a1a11"),
    "a fact sheet": {"fact_sheet": {"a": dict.fromkeys(("key", "type", "title", "selection", "is_required", "is_on_leaderboard"), "x")}},
    "a solution": {"solutions": [{"index": 0, "tasks": [0], "path": "logo.png"}]},
    "migration to a later phase": phases(("2024-01-01", "2024-02-01"), ("2024-02-02", None), auto_migrate_to_this_phase=True),
    "a second leaderboard, which nobody reads": {"leaderboards": [*bundles.values()["leaderboards"], {"title": "no columns"}]},
}  # fmt: skip


@pytest.mark.parametrize("changes", FINE.values(), ids=FINE)
def test_what_the_unpacker_takes_breaks_no_rule(changes, tmp_path):
    changes = {
        key: [{k: None if v is EMPTY else v for k, v in one.items()} for one in value] if key == "phases" else value
        for key, value in changes.items()
    }
    assert rules(tmp_path, **changes) == []


BROKEN = {
    "version": ("version", {"version": 1}),
    "no version": ("version", {"version": None}),
    "no title": ("title", {"title": None}),
    "no image": ("image", {"image": None}),
    "an image that is not there": ("image", {"image": "other.png"}),
    "an image outside": ("image", {"image": "../../../etc/hostname"}),
    "an image with too long a name": ("image", {"image": "a" * 300}),
    "no terms": ("terms", {"terms": None}),
    "empty terms": ("terms", {"terms": "empty/file"}),
    "terms that are not there": ("terms", {"terms": "other.md"}),
    "no pages": ("pages", {"pages": None}),
    "a page without file": ("pages", {"pages": [{"title": "Overview"}]}),
    "an empty page": ("pages", {"pages": [{"title": "Overview", "file": "empty/file"}]}),
    "a page that is text": ("pages", {"pages": ["overview.md"]}),
    "a type": ("competition-type", {"competition_type": "contest"}),
    "no tasks": ("tasks", {"tasks": None}),
    "a task without index": ("task-index", {"tasks": [{"index": 0, "scoring_program": "scoring_program/"}, {"name": "x"}]}),
    "two tasks of one index": ("task-index", {"tasks": bundles.values()["tasks"] * 2}),
    "no scoring program": ("scoring-program", changed("tasks", scoring_program=None)),
    "a folder that is not there": ("dataset", changed("tasks", input_data="data/")),
    "a dataset that is no zip": ("dataset", changed("tasks", input_data="logo.png")),
    "no phases": ("phases", {"phases": None}),
    "a phase without tasks": ("phase-tasks", changed("phases", tasks=None)),
    "a phase of an unknown task": ("phase-tasks", changed("phases", tasks=[0, 7])),
    "a phase without start": ("phase-start", changed("phases", start=None)),
    "a start that is no date": ("date", changed("phases", start="soon")),
    "a time limit": ("time-limit", changed("phases", execution_time_limit="ten minutes")),
    "a quota": ("quota", changed("phases", max_submissions="many")),
    "no seconds": ("time-limit", changed("phases", execution_time_limit=0)),
    "a negative quota": ("quota", changed("phases", max_submissions=-1)),
    "a negative precision": ("precision", columns(precision=-1)),
    "no end before another phase": ("phase-end", phases(("2024-01-01", None), ("2024-02-01", None))),
    "phases that overlap": ("phase-order", phases(("2024-01-01", "2024-02-02"), ("2024-02-01", None))),
    "phases that touch": ("phase-order", phases(("2024-01-01", "2024-02-01"), ("2024-02-01", None))),
    "migration to the first phase": ("auto-migrate", phases(("2024-01-01", None), auto_migrate_to_this_phase=True)),
    "no leaderboards": ("leaderboards", {"leaderboards": None}),
    "a leaderboard as the documentation has it": ("leaderboards", {"leaderboards": None, "leaderboard": bundles.values()["leaderboards"]}),
    "a leaderboard without key": ("leaderboard", changed("leaderboards", key=None)),
    "a submission rule": ("submission-rule", changed("leaderboards", submission_rule="Best")),
    "no columns": ("columns", changed("leaderboards", columns=None)),
    "two columns of one key": ("columns", changed("leaderboards", columns=[bundles.COLUMNS[0], bundles.COLUMNS[0] | {"index": 1}])),
    "two columns of one index": ("columns", changed("leaderboards", columns=[bundles.COLUMNS[0], bundles.COLUMNS[1] | {"index": 0}])),
    "a long key": ("columns", columns(key="k" * 37)),
    "a column without title": ("columns", columns(title=None)),
    "a sorting": ("sorting", columns(sorting="down")),
    "a precision": ("precision", columns(precision=11)),
    "a primary index": ("primary-index", changed("leaderboards", primary_index=5)),
    "half a computation": ("computation", computed(computation="avg")),
    "an unknown computation": ("computation", computed(computation="median", computation_indexes=[0])),
    "a column computed of itself": ("computation", computed(computation="avg", computation_indexes=[0, 2])),
    "a column computed of an unknown one": ("computation", computed(computation="avg", computation_indexes=[9])),
    "a fact sheet": ("fact-sheet", {"fact_sheet": {"a": {"key": "a", "type": "text"}}}),
    "a solution without tasks": ("solutions", {"solutions": [{"index": 0, "path": "logo.png"}]}),
    "a solution of an unknown task": ("solutions", {"solutions": [{"index": 0, "tasks": [3], "path": "logo.png"}]}),
    "a solution that is not there": ("solutions", {"solutions": [{"index": 0, "tasks": [0], "path": "solution/"}]}),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "changes"), BROKEN.values(), ids=BROKEN)
def test_each_broken_rule_is_the_only_one_reported(rule, changes, tmp_path):
    found = rules(tmp_path, files={"empty": {"file": " \n"}}, **changes)
    assert rule in found
    assert set(found) <= {rule, "phase-tasks", "primary-index"}  # what hangs on the broken part
    bundle = tmp_path / "bundle"
    # Version 1.5 it takes, by another unpacker.
    says = "is of version 1.5, and the judge reads version 2 only" if rule == "version" else "Codabench would refuse"
    with pytest.raises(UserError, match=says):
        load(bundle, tmp_path / "scratch")


def test_a_program_folder_without_metadata_is_a_warning_because_the_unpacker_takes_it(tmp_path):
    files = {"ingestion_program": {"ingestion.py": ""}, "scoring_program": {"scoring.py": "", "metadata": ""}}
    bundle = bundles.bundle(tmp_path / "bundle", programs=files)
    found = load(bundle, tmp_path / "scratch").findings
    assert [(finding.rule, finding.severity) for finding in found] == [("program", "warning")] * 2
    assert found == tuple(broken(bundle))


def test_an_unquoted_time_is_cut_to_midnight_and_said(tmp_path):
    quoted = yaml.safe_dump(bundles.values(), sort_keys=False)
    assert "'2024-11-08 00:00:00'" in quoted
    unquoted = quoted.replace("'2024-11-08 00:00:00'", "2024-11-08 13:30:00")
    bundle = bundles.bundle(tmp_path / "bundle", text=unquoted)
    (finding,) = load(bundle, tmp_path / "scratch").findings
    assert (finding.rule, finding.severity) == ("unquoted-date", "warning")
    assert finding.remedy == "Write `start: '2024-11-08 13:30:00'`."
    (phase,) = yaml.safe_load(unquoted)["phases"]
    assert moment(phase["start"]) == datetime.datetime(2024, 11, 8, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime.date(2024, 11, 8), (2024, 11, 8)),
        (datetime.datetime(2024, 11, 8, 13, 30), (2024, 11, 8)),
        ("2024-11-08", (2024, 11, 8)),
        ("2024-11-08 13:30:00", (2024, 11, 8, 13, 30)),
        ("8-7-2019", (2019, 8, 7)),
        ("November 8, 2024 13:30", (2024, 11, 8, 13, 30)),
        ("2024-11-08T13:30:00+02:00", (2024, 11, 8, 13, 30)),
    ],
)
def test_dates_are_those_of_the_unpacker(value, expected):
    assert moment(value) == datetime.datetime(*expected, tzinfo=datetime.UTC)


def test_no_date_is_none_and_nonsense_an_error():
    assert moment(None) is None
    assert moment("") is None
    for value in ("soon", 5, [2024]):
        with pytest.raises(ValueError):  # noqa: PT011 - dateutil's own words
            moment(value)


def test_a_bundle_is_read_with_its_defaults(tmp_path):
    found = load(bundles.bundle(tmp_path / "bundle"), tmp_path / "scratch")
    assert (found.columns, found.primary) == (("accuracy", "duration"), "accuracy")
    assert (found.docker_image, found.detailed_results) == ("codalab/codalab-legacy:py37", False)
    (phase,) = found.phases
    assert (phase.tasks, phase.execution_time_limit) == ((0,), 60.0)
    task = found.tasks[0]
    assert (task.name, task.ingestion_only_during_scoring) == ("only", False)
    assert (task.input_data / "numbers.txt").read_text() == "7"


def test_the_primary_column_is_found_by_its_index_and_computed_ones_are_no_scores(tmp_path):
    values = computed(computation="avg", computation_indexes=[0, 1])
    values["leaderboards"][0]["primary_index"] = 2
    found = load(bundles.bundle(tmp_path / "bundle", **values), tmp_path / "scratch")
    assert (found.columns, found.primary) == (("accuracy", "duration"), "all")


def test_a_zipped_bundle_with_zipped_programs_is_unpacked(tmp_path):
    inner = {"ingestion.zip": bundles.zipped(bundles.ingestion()), "scoring.zip": bundles.zipped(bundles.scoring())}
    changes = changed("tasks", ingestion_program="p/ingestion.zip", scoring_program="p/scoring.zip")
    folder = bundles.bundle(tmp_path / "bundle", programs={"p": inner}, **changes)
    path = tmp_path / "bundle.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    task = load(path, tmp_path / "scratch").tasks[0]
    assert (task.ingestion_program / "ingestion.py").read_text() == bundles.INGESTION
    assert task.scoring_program.is_relative_to(tmp_path / "scratch")


def test_a_wrapper_folder_a_missing_and_a_broken_yaml_are_sentences(tmp_path):
    folder = bundles.write(tmp_path / "outer", {"inner/competition.yaml": "version: 2"})
    with pytest.raises(UserError, match=r"Zip the contents of inner/, not the folder\."):
        load(folder, tmp_path)
    with pytest.raises(UserError, match=r"no competition\.yaml at its root"):
        load(bundles.write(tmp_path / "none", {"a": ""}), tmp_path)
    for text in ("{", "- 1", "\t", "a: b: c"):
        with pytest.raises(UserError, match=r"competition\.yaml (cannot be read|is not a mapping)"):
            load(bundles.bundle(tmp_path / "bundle", text=text), tmp_path)
    with pytest.raises(UserError, match="There is no bundle at"):
        load(tmp_path / "absent.zip", tmp_path)
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    with pytest.raises(UserError, match="cannot be unpacked"):
        load(tmp_path / "bad.zip", tmp_path)


def test_a_task_that_lives_on_the_server_cannot_be_rehearsed(tmp_path):
    bundle = bundles.bundle(tmp_path / "bundle", **FINE["a task on the server"])
    with pytest.raises(UserError, match="named by its key"):
        load(bundle, tmp_path)
    bundle = bundles.bundle(tmp_path / "bundle", **FINE["a dataset on the server"])
    with pytest.raises(UserError, match="named by its key"):
        load(bundle, tmp_path)
