"""One training on two hosts that are two processes here: the losses of one process, and what is left when one is killed."""

import contextlib
import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_cells import runs

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
import dataclasses, json, sys
from pathlib import Path

import toy_cells
from build.runs import Run
from build.train.fit import train
from build.train.hosts import joined

root, resume = Path(sys.argv[1]), sys.argv[2]
recipe = dataclasses.replace(toy_cells.RECIPE, **json.loads(sys.argv[3]))
with joined() as hosts:
    train(recipe, toy_cells.prepared(256), seed=0, root=root, resume=Run(root / resume) if resume else None, hosts=hosts)
"""
# Batches of two parts, one for each host. A dropout's mask is drawn for the batch as it lies on the devices.
CHANGES = {"batch": 64, "dropout": 0.0, "epochs": 12}
PATIENCE = 300


@dataclasses.dataclass
class Process:
    """A training in another process that may have partners."""

    process: subprocess.Popen
    errors: Path

    def ended(self) -> tuple[int, str]:
        """Exit code and standard error."""
        code = self.process.wait(timeout=PATIENCE)
        return code, self.errors.read_text()


@pytest.fixture
def start(tmp_path):
    """Start a training of `count` hosts; a process that the test leaves is killed."""
    started = []

    def begin(root: Path, count: int, *, resume: str = "") -> list[Process]:
        ports = []
        while len(ports) < count:  # below those that outgoing connections get: nobody takes them before they are bound
            port = random.randrange(20000, 32000)
            with socket.socket() as free, contextlib.suppress(OSError):
                free.bind(("127.0.0.1", port))
                ports += [port] if port not in ports else []
        for index in range(count):
            names = {"JOB_ADDRESSES": ",".join(f"127.0.0.1:{port}" for port in ports), "NUM_PROCESSES": count}
            names |= {"PROCESS_ID": index}
            variables = {f"KERAS_DISTRIBUTION_{name}": str(value) for name, value in names.items()} if count > 1 else {}
            place = {
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
                "KERAS_BACKEND": "jax",
                "JAX_PLATFORMS": "cpu",
                "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiles five times faster
            }
            errors = tmp_path / f"errors-{len(started)}"
            with errors.open("wb") as file:
                process = subprocess.Popen(
                    [sys.executable, "-c", SCRIPT, str(root), resume, json.dumps(CHANGES)],
                    env=os.environ | place | variables,
                    stdout=subprocess.DEVNULL,
                    stderr=file,
                )
            started.append(Process(process, errors))
        return started[-count:]

    yield begin
    for one in started:
        one.process.kill()
        one.process.wait()


def column(root: Path, name: str) -> list[float]:
    (run,) = runs(root)
    return [float(row[name]) for row in run.history]


@pytest.mark.slow
def test_two_hosts_train_as_one_and_one_goes_on_alone_where_the_other_was_killed(tmp_path, start):
    alone, together = tmp_path / "alone", tmp_path / "together"
    (single,) = start(alone, 1)
    code, errors = single.ended()
    assert code == 0, errors[-3000:]

    chief, worker = start(together, 2)
    deadline = time.monotonic() + PATIENCE
    while not runs(together) or len(runs(together)[0].history) < 2:
        assert chief.process.poll() is None, chief.errors.read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    worker.process.send_signal(signal.SIGKILL)
    code, errors = chief.ended()
    (run,) = runs(together)
    assert code == 3, errors[-3000:]
    (sentence,) = (line for line in errors.splitlines() if line.startswith("error: "))
    assert "is gone" in sentence
    assert f"go on with --resume {run.id} on the hosts that remain" in sentence
    assert 2 <= len(run.history) < CHANGES["epochs"]

    (single,) = start(together, 1, resume=run.id)
    code, errors = single.ended()
    assert code == 0, errors[-3000:]
    assert run.facts["status"] == "finished"
    # The same images, seed and global batch: what differs is the order of float32 sums, and that adds up over the epochs.
    for name in ("loss", "validation_loss"):
        came, expected = column(together, name), column(alone, name)
        assert came[0] == pytest.approx(expected[0], rel=1e-5), name
        assert came == pytest.approx(expected, rel=0.02), name
