"""What goes between a sweep's driver and a worker that does not see the driver's folders; no Ray needed."""

import contextlib
import dataclasses
import os
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from build.data.prepare import prepare
from build.recipes import find
from build.runs import Run
from build.scratch import DRAWN
from build.study.execute import ENTRIES, Result, Task
from build.study.execute import find as find_run
from build.sweep import depot as depot_module
from build.sweep import worker
from build.sweep.depot import Depot, Facts, Parcel, place

RECIPE = dataclasses.replace(find("smoke"), name="tiny")
TASK = Task(RECIPE, 0, "synthetic:160")
PIECE = 100_000


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare(TASK.data, RECIPE, seed=0, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def depot(tmp_path, prepared, monkeypatch) -> Depot:
    monkeypatch.setattr(depot_module.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(depot_module, "PIECE", PIECE)
    made = Depot(str(tmp_path / "runs"), str(Path(prepared.cells.images.filename).parent.parent))
    yield made
    made.close()


def reached(depot: Depot):
    return lambda name, *arguments: getattr(depot, name)(*arguments)


def elsewhere(depot: Depot) -> Facts:
    """As a machine sees it that has no common file system with the driver."""
    return depot.facts()._replace(root="/nowhere/runs", cache="/nowhere/data")


def test_on_a_common_file_system_nothing_is_copied(depot, prepared):
    parcel = Parcel.of(prepared.cells, depot.bases["cache"])
    with place(None, depot.facts()) as here:  # nobody is asked
        cells = here.cells(parcel, TASK.data)
        assert (here.root, here.cache) == (depot.bases["root"], depot.bases["cache"])
        assert cells.sha256 == prepared.cells.sha256
        assert isinstance(cells.images, np.memmap)
        here.push()


def test_a_node_that_sees_the_drivers_runs_but_has_a_data_folder_of_its_own_fetches_the_cells(
    depot, prepared, tmp_path
):
    parcel = Parcel.of(prepared.cells, depot.bases["cache"])
    with place(reached(depot), depot.facts()._replace(cache=str(tmp_path / "own"))) as here:
        assert here.root == depot.bases["root"]
        assert here.cells(parcel, TASK.data).sha256 == prepared.cells.sha256
    assert {path.name for path in (tmp_path / "own").iterdir()} == {"lock", parcel.cells, parcel.curation}


def test_the_pictures_names_go_with_the_cells(depot, prepared):
    named = dataclasses.replace(prepared.cells, files=tuple(f"{row}.png" for row in range(len(prepared.cells))))
    parcel = Parcel.of(named, depot.bases["cache"])
    for facts in (depot.facts(), elsewhere(depot)):
        with place(reached(depot), facts) as here:
            assert here.cells(parcel, TASK.data).files == named.files


def test_cells_are_fetched_once_a_machine_and_never_once_a_task(depot, prepared):
    parcel, found, pieces = Parcel.of(prepared.cells, depot.bases["cache"]), [], []

    def call(name: str, *arguments):
        pieces.extend([arguments[1]] if name == "piece" else ())
        return reached(depot)(name, *arguments)

    def task() -> None:
        with place(call, elsewhere(depot)) as here:
            cells = here.cells(parcel, TASK.data)
            again = prepare(TASK.data, RECIPE, seed=0, cache=here.cache, cells=cells)
            found.append((cells.sha256, again.split.test.tolist(), here.shared))

    threads = [threading.Thread(target=task) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(prepared.cells.sha256, prepared.split.test.tolist(), False)] * 4
    sizes = depot.listing("cache", parcel.cells) | depot.listing("cache", parcel.curation)
    assert len(sizes) == 4
    assert Counter(pieces) == {name: -(-size // PIECE) for name, size in sizes.items()}  # each once


def test_a_run_goes_home_after_an_epoch_and_comes_back_for_the_next_attempt(depot, prepared):
    with place(reached(depot), elsewhere(depot)) as here:
        here.fetch_run(TASK, prepared.cells.sha256)
        run = Run.create(here.root, RECIPE, seed=0, data={"sha256": prepared.cells.sha256}, status="running")
        run.become_latest()
        run.checkpoint_path.parent.mkdir()
        run.checkpoint_path.write_bytes(bytes(250_000))
        (run.checkpoint_path.parent / "lock").touch()
        (here.root / ENTRIES).mkdir(parents=True)
        (here.root / ENTRIES / "entries.jsonl").write_text("of this task alone")
        here.push()
        local = here.root
    assert not local.exists()
    home = Run.open(run.id, depot.bases["root"])
    assert home.checkpoint_path.read_bytes() == bytes(250_000)
    assert not (home.checkpoint_path.parent / "lock").exists()
    assert not list(depot.bases["root"].glob("latest"))
    assert not (depot.bases["root"] / ENTRIES).exists()

    with place(reached(depot), elsewhere(depot)) as here:
        here.fetch_run(TASK, prepared.cells.sha256)
        (back,) = here.root.glob("*/checkpoint/state.npz")
        sent = []
        here.call = lambda name, *arguments: sent.append(arguments[0]) or reached(depot)(name, *arguments)
        here.push()
        assert sent == []  # the driver has it all
        back.write_bytes(b"further")
        os.utime(back, ns=(1, 1))
        here.push()
        assert sent == [f"{run.id}/checkpoint/state.npz"]
    assert home.checkpoint_path.read_bytes() == b"further"


def test_what_a_killed_worker_left_is_removed_by_the_next_task_and_a_living_one_s_is_not(depot):
    with place(reached(depot), elsewhere(depot)) as here:
        left = here.root.with_name(here.root.name[:-DRAWN] + "x" * DRAWN)  # held by no process
        left.mkdir()
        with place(reached(depot), elsewhere(depot)):
            assert here.root.exists()
            assert not left.exists()
    assert not list(here.root.parent.glob("runs-*"))


def test_what_a_worker_had_sent_of_a_file_as_it_was_lost_goes_before_its_run_goes_on(depot, prepared):
    with place(reached(depot), elsewhere(depot)) as here:
        run = Run.create(here.root, RECIPE, seed=0, data={"sha256": prepared.cells.sha256}, status="running")
        prepared.split.save(run.split_path)
        here.push()
        depot.put(f"{run.id}/checkpoint/state.npz", 0, b"a first piece", False, here.root.name)
    with place(reached(depot), elsewhere(depot)) as here:
        here.fetch_run(TASK, prepared.cells.sha256)
        assert (here.root / run.id).exists()
    assert not list((depot.bases["root"] / run.id / "checkpoint").iterdir())


def test_what_a_worker_had_sent_of_a_run_as_it_was_lost_can_be_gone_on_with_or_is_no_run(depot, prepared):
    wholes = []
    for sent in range(6):
        task, puts = dataclasses.replace(TASK, seed=sent), []

        def call(name: str, *arguments, puts=puts, sent=sent):
            if name == "put":
                puts.append(arguments[0])
                if len(puts) > sent:
                    raise ConnectionError
            return reached(depot)(name, *arguments)

        with place(call, elsewhere(depot)) as here:
            run = Run.create(here.root, RECIPE, seed=sent, data={"sha256": prepared.cells.sha256}, status="running")
            prepared.split.save(run.split_path)
            run.checkpoint_path.parent.mkdir()
            run.checkpoint_path.write_bytes(b"whole")
            with contextlib.suppress(ConnectionError):
                here.push()
        wholes.append(len(puts) <= sent)
        held = depot.find(task, prepared.cells.sha256)
        gone_on = find_run(task, prepared.cells.sha256, depot.bases["root"], prepared.split)
        assert held == (gone_on.id if gone_on else "")
    assert wholes == [False] * 5 + [True]  # lost before each of the five files, and after the last


def test_a_killed_drivers_token_goes_with_the_next_one_and_a_living_ones_stays(depot):
    root = depot.bases["root"]
    left = root / (depot.facts().token[:-DRAWN] + "x" * DRAWN)  # held by no process
    left.touch()
    second = Depot(str(root), str(depot.bases["cache"]))
    assert {path.name for path in root.glob(".depot-*")} == {depot.facts().token, second.facts().token}
    second.close()
    assert [path.name for path in root.glob(".depot-*")] == [depot.facts().token]


def test_nothing_is_written_outside_the_drivers_runs(depot):
    with pytest.raises(AssertionError):
        depot.put("../outside", 0, b"", True, "x")


def test_reports_reach_the_driver_in_order_and_its_answer_the_worker(depot):
    assert not depot.report(0, "r", [{"epoch": 1}])
    assert not depot.report(1, "s", [{"epoch": 1}])
    assert depot.drain() == [(0, "r", [{"epoch": 1}]), (1, "s", [{"epoch": 1}])]
    assert depot.drain() == []
    depot.stop(1)
    assert not depot.report(0, "r", [])
    assert depot.report(1, "s", [])


def test_a_worker_performs_with_the_fetched_cells_and_pushes_even_where_the_task_fails(depot, prepared, monkeypatch):
    parcel = Parcel.of(prepared.cells, depot.bases["cache"])

    def perform(task, *, root, cache, cells, watch):
        assert cells.sha256 == prepared.cells.sha256
        run = Run.create(root, task.recipe, seed=0)
        assert watch(run, [{"epoch": 1}])
        raise RuntimeError("the node is broken")

    monkeypatch.setattr(worker, "perform", perform)
    depot.stop(7)
    with pytest.raises(RuntimeError):
        worker.perform_here(7, TASK, parcel, elsewhere(depot), None, reached(depot))
    ((position, run, history),) = depot.drain()
    assert (position, history) == (7, [{"epoch": 1}])
    assert Run.open(run, depot.bases["root"]).recipe == RECIPE


def test_a_worker_with_another_commit_is_refused_in_a_sentence(depot, monkeypatch):
    monkeypatch.setattr(worker, "provenance", lambda: {"commit": "b" * 40})
    result = worker.perform_here(0, TASK, Parcel("a", "b"), depot.facts(), "a" * 40, reached(depot))
    assert isinstance(result, Result)
    assert "has commit bbbbbbbbb of the kit and the driver aaaaaaaaa" in result.failure
