"""The same sweep on a Ray cluster of this machine; skipped where Ray is not installed."""

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from cell_files import sentence
from toy_cells import runs

from build.errors import UserError
from build.recipes import find
from build.runs import Run
from build.study.execute import ended
from build.sweep.drive import Sweep
from build.sweep.plan import Asked
from submission import weights

ray = pytest.importorskip("ray")
ROOT = Path(__file__).resolve().parent.parent
TINY = dataclasses.replace(
    find("report-custom-cnn"), name="tiny", filters=2, epochs=3, batch=32, resolutions=((32, 1.0),)
)
NEEDS = {"cpus": 1, "gpus": None, "memory_gib": 0.25}

pytestmark = [
    pytest.mark.slow,
    # Ray's own files and sockets, closed when its processes end.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Ray gives up after 30 seconds on a machine that is busy with other things, and kills workers where others fill the memory."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "300000")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


def cluster(tmp_path: Path, address: str = "local", **needs):
    from build.sweep.ray_engine import Cluster

    return Cluster(address, root=tmp_path / "runs", cache=tmp_path / "data", **NEEDS | needs)


def workers(tmp_path: Path) -> list[int]:
    """Processes that perform a task of this test's cluster at present: they have its TMPDIR."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            ours = f"TMPDIR={tmp_path}\0".encode() in (path.parent / "environ").read_bytes()
            if ours and path.read_bytes().startswith(b"ray::_carried"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_killed_worker_s_run_goes_on_and_cells_travel_once_to_a_machine_that_does_not_see_them(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", tempfile.gettempdir())  # a socket's path has 107 bytes at most
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    driven = Sweep(
        Asked((TINY,), "synthetic:160", members=2, judge=False), root=tmp_path / "runs", cache=tmp_path / "data"
    )
    real, heard, killed = driven._heard, [], []

    def hear(position, run, history):
        heard.append((position, run, len(history)))
        if not killed:
            killed.extend(workers(tmp_path))
            for number in killed:
                os.kill(number, signal.SIGKILL)
        return real(position, run, history)

    monkeypatch.setattr(driven, "_heard", hear)
    with cluster(tmp_path) as joined:
        joined._facts = joined._facts._replace(root="/nowhere/runs", cache="/nowhere/data")
        assert driven.run(joined.execute) == 0
    assert killed
    entries = list(driven.state.entries.values())
    assert [(entry.state, entry.epochs) for entry in entries] == [("done", 3)] * 2
    # No training began anew: a run folder a task, and no epoch was reported twice by the run that was taken up again.
    assert len(runs(tmp_path / "runs")) == 2
    cells = next((tmp_path / "data").glob("cells-*"))
    (fetched,) = tmp_path.glob(f"podium-*/data/{cells.name}")
    for path in cells.iterdir():
        assert (fetched / path.name).read_bytes() == path.read_bytes()

    # The same weights as in this process, but for the order of sums: the threads are others.
    one = dataclasses.replace(driven.asked, members=1)
    here = Sweep(one, root=tmp_path / "here", cache=tmp_path / "data")
    assert here.run() == 0
    for key, entry in here.state.entries.items():
        there = Run(tmp_path / "runs" / driven.state.entries[key].run)
        ours, theirs = (weights.load(run.weights_path)[0] for run in (Run(tmp_path / "here" / entry.run), there))
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            np.testing.assert_allclose(array, theirs[name], atol=1e-3, err_msg=name)


DRIVER = """
import sys
from pathlib import Path

import test_sweep_ray
from build.sweep.drive import Sweep

place = Path(sys.argv[1])
driven = Sweep(test_sweep_ray.ASKED, root=place / "runs", cache=place / "data")
with test_sweep_ray.cluster(place) as joined:
    driven.run(joined.execute)
"""
ASKED = Asked((TINY,), "synthetic:160", members=3, judge=False)


@pytest.mark.exhaustive
def test_a_sweep_goes_on_where_its_driver_was_killed(tmp_path, monkeypatch):
    # Entries of sys.path reach Ray's workers by this variable.
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)])
    try:
        deadline = time.monotonic() + 300
        while not any(run.history for run in runs(tmp_path / "runs")):
            assert driver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    begun = {run.id for run in runs(tmp_path / "runs")}
    assert sum(ended(run) for run in runs(tmp_path / "runs")) < 3
    taken_up = Sweep(ASKED, root=tmp_path / "runs", cache=tmp_path / "data")
    with cluster(tmp_path) as joined:
        assert taken_up.run(joined.execute) == 0
    entries = list(taken_up.state.entries.values())
    assert [(entry.state, entry.epochs) for entry in entries] == [("done", 3)] * 3
    assert begun <= {entry.run for entry in entries}  # what the first driver had begun was gone on with
    assert len(runs(tmp_path / "runs")) == 3


def test_needs_that_no_machine_has_are_one_sentence(tmp_path):
    with pytest.raises(UserError) as caught, cluster(tmp_path, cpus=10_000):
        pass
    assert "No machine of the cluster has the 10000 cores" in sentence(caught)
