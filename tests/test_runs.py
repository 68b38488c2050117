"""Run folders: what is in them, how they are found, that they are held by one process."""

import errno
import multiprocessing
import os
import pickle
import shutil
import subprocess

import numpy as np
import pytest
from cell_files import sentence

from build import members, runs
from build.errors import UserError
from build.processes import ROOT
from build.recipes import find
from build.runs import Run


def latest(root, recipe, **facts):
    made = Run.create(root, recipe, **facts)
    made.become_latest()
    return made


@pytest.fixture
def run(tmp_path):
    return latest(tmp_path / "runs", find("smoke"), seed=3, data={"sha256": "ab"})


def test_a_new_run_says_how_it_was_made(run):
    assert run.recipe == find("smoke")
    facts = run.facts
    assert facts["id"] == run.id == run.folder.name
    assert facts["seed"] == 3
    assert facts["data"] == {"sha256": "ab"}
    assert facts["versions"]["numpy"]
    assert facts["versions"]["keras"]
    if (ROOT / ".git").exists():
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        assert facts["commit"] == head
        assert isinstance(facts["dirty"], bool)


def test_without_git_the_commit_is_unknown_and_nothing_breaks(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    facts = runs.provenance()
    assert facts["commit"] is None
    assert facts["dirty"] is None


def test_two_runs_of_one_second_have_two_folders(tmp_path):
    assert len({Run.create(tmp_path, find("smoke")).id for _ in range(20)}) == 20


def test_latest_is_the_last_run_and_moves_with_the_folder(tmp_path):
    root = tmp_path / "runs"
    first = latest(root, find("smoke"))
    last = latest(root, find("podium"))
    assert {run.id for run in Run.each(root)} == {first.id, last.id}  # `latest` is no third
    assert Run.open("latest", root).id == last.id
    assert (root / "latest" / "recipe.json").exists()
    moved = root.rename(tmp_path / "elsewhere")
    assert Run.open("latest", moved).folder == moved / last.id


def test_a_run_named_by_the_path_of_the_link_stays_itself_when_the_link_moves_on(tmp_path):
    first = latest(tmp_path, find("smoke"))
    named = Run.open(tmp_path / "latest")
    assert named.id == first.id
    last = latest(tmp_path, find("smoke"))
    named.update(mark=1)
    assert first.facts["mark"] == 1
    assert last.facts.get("mark") is None
    named.become_latest()
    assert Run.open("latest", tmp_path).id == first.id


def test_latest_works_where_the_file_system_has_no_links(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no links here")

    monkeypatch.setattr(type(tmp_path), "symlink_to", refuse)
    latest(tmp_path, find("smoke"))
    last = latest(tmp_path, find("smoke"))
    assert not (tmp_path / "latest").is_symlink()
    assert Run.open("latest", tmp_path).id == last.id


def test_a_run_opens_by_id_and_by_folder(run):
    root = run.folder.parent
    assert Run.open(run.id, root) == run
    assert Run.open(run.folder, "nowhere") == run


def test_a_run_that_is_not_there_is_answered_with_those_that_are(run):
    with pytest.raises(UserError, match=rf"'20200101'.*{run.id}") as error:
        Run.open("20200101", run.folder.parent)
    assert "\n" not in str(error.value)


def test_without_any_run_the_answer_is_how_to_train_one(tmp_path):
    with pytest.raises(UserError, match="nox -s train"):
        Run.open("latest", tmp_path)


def test_what_may_not_be_read_is_told_as_that_and_not_as_absent_or_damaged(run, monkeypatch):
    def refuse(self, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    run.weights_path.touch()
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", refuse)
        with pytest.raises(UserError) as caught:
            members.open_network(run.folder)
    assert "weights.npz cannot be read (Permission denied)" in sentence(caught)
    monkeypatch.setattr(Run, "each", lambda _: iter(()))
    monkeypatch.setattr("pathlib.Path.stat", refuse)
    with pytest.raises(UserError) as caught:
        Run.open("latest", run.folder.parent)
    assert f"{run.folder.parent} cannot be read (Permission denied)" in sentence(caught)


def test_a_dangling_latest_is_a_sentence(run):
    root = run.folder.parent
    run.folder.rename(root.parent / "gone")
    with pytest.raises(UserError, match="There is no run yet"):
        Run.open("latest", root)


def test_latest_is_the_newest_where_the_last_one_is_gone_or_runs_were_copied(run):
    root = run.folder.parent
    for name in ("20200101-000000-smoke-aaaa", "20210101-000000-smoke-aaaa"):
        shutil.copytree(run.folder, root / name)
    run.folder.rename(root.parent / "gone")
    assert Run.open("latest", root).id == "20210101-000000-smoke-aaaa"
    (root / "latest").unlink()
    assert Run.open("latest", root).id == "20210101-000000-smoke-aaaa"


def test_latest_is_the_newest_where_a_copy_made_a_folder_of_the_link(run):
    root = run.folder.parent
    copy = shutil.copytree(root, root.parent / "copied")  # follows links, as cp -L does
    assert (copy / "latest").is_dir()
    assert not (copy / "latest").is_symlink()
    made = latest(copy, find("podium"))
    assert Run.open("latest", copy).id == max(run.id, made.id)
    assert not list(copy.glob(".latest*"))


def test_updated_facts_stay_beside_the_old_ones(run):
    run.update(status="finished", seed=4)
    assert run.facts["status"] == "finished"
    assert run.facts["seed"] == 4
    assert run.facts["id"] == run.id


@pytest.mark.parametrize(
    ("text", "says"), [(b'{"seed": 3', "damaged"), (b"", "damaged"), (b"\xff", "damaged"), (b"[]", "holds no facts")]
)
def test_damaged_facts_are_a_sentence(run, text, says):
    run.facts_path.write_bytes(text)
    with pytest.raises(UserError) as caught:
        _ = run.facts
    assert says in sentence(caught)
    assert str(run.facts_path) in str(caught.value)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"seed": "3"}, "'seed' is \"3\""),
        ({"data": []}, "'data' is []"),
        ({"data": {"source": 3}}, "'source' is 3"),
        ({"decided": "cpu"}, "'decided' is \"cpu\""),
        ({"minutes": "long"}, "'minutes' is \"long\""),
    ],
)
def test_a_fact_of_another_kind_is_a_sentence(run, facts, says):
    run.update(**facts)
    with pytest.raises(UserError) as caught:
        _ = run.facts
    assert f"{run.facts_path} is damaged, {says}; put a copy of it back" in sentence(caught)


def test_facts_that_are_null_are_absent(run):
    run.update(seed=None, data=None, minutes=2)
    assert run.facts["seed"] is None


def test_a_fact_that_is_not_there_is_a_sentence_when_it_is_asked_for(run):
    facts = run.facts
    assert facts.get("status") is None
    assert "status" not in facts
    for ask in (
        lambda: facts["status"],
        lambda: facts["data"]["source"],
        lambda: pickle.loads(pickle.dumps(facts))["x"],
    ):
        with pytest.raises(UserError) as caught:
            ask()
        assert f"{run.facts_path} lacks '" in sentence(caught)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "{",
        '{"name": "smoke", "no_such_field": 1}',
        '{"name": "smoke", "views": "4"}',
        '{"name": "smoke", "ensemble": "podium"}',
        '{"name": "smoke", "resolutions": [[96]]}',
        '{"name": "smoke", "minimum_held_out": null}',
    ],
)
def test_a_damaged_recipe_is_a_sentence(run, text):
    run.recipe_path.write_text(text)
    with pytest.raises(UserError) as caught:
        _ = run.recipe
    assert "cannot be read by this version" in sentence(caught)


def test_history_comes_back_line_by_line_and_is_empty_before_the_first_epoch(run):
    assert run.history == []
    run.write_history([{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 0.1 + 0.2}])
    assert run.history == [{"epoch": "1", "loss": "2.5"}, {"epoch": "2", "loss": "0.30000000000000004"}]
    assert float(run.history[1]["loss"]) == 0.1 + 0.2
    run.write_history([])
    assert run.history == []


def test_a_disk_that_is_full_of_weights_is_a_sentence(run, monkeypatch):
    run.save_weights({"a": np.zeros(3, np.float32)}, {})
    whole = run.weights_path.read_bytes()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("submission.weights.np.lib.format.write_array", full)
    with pytest.raises(UserError) as caught:
        run.save_weights({"a": np.ones(3, np.float32)}, {})
    assert "weights.npz cannot be written (No space left on device); make room on its disk" in sentence(caught)
    assert run.weights_path.read_bytes() == whole


def test_no_scratch_files_stay(run):
    run.write_history([{"epoch": 1}])
    run.update(a=1)
    assert {path.name for path in run.folder.iterdir()} == {"recipe.json", "run.json", "history.csv"}


def test_what_a_killed_writer_of_weights_left_is_removed_when_the_run_is_held_again(run):
    atomic = run.folder / ".weights.npz.0a1b2c3d-abcd1234"  # as build/scratch.py names its own, which it removes itself
    compressed = run.folder / "compress"
    compressed.mkdir()
    left = run.folder / ".weights.npz.4711", compressed / ".int8.npz.4711"
    for path in (*left, atomic, run.weights_path):
        path.write_bytes(b"half")
    with run.locked():
        assert [path.exists() for path in (*left, atomic, run.weights_path)] == [False, False, True, True]


def _try_to_hold(folder, answer):
    try:
        with Run(folder).locked():
            answer.put("held")
    except UserError as error:
        answer.put(str(error))


def test_a_run_is_held_by_one_process_at_a_time(run):
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()

    def ask():
        other = context.Process(target=_try_to_hold, args=(run.folder, answer))
        other.start()
        said = answer.get(timeout=300)
        other.join()
        return said

    with run.locked():
        assert ask() == f"Run {run.id} is being trained or compressed by another process; wait for it or stop it first."
    assert ask() == "held"
