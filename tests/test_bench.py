import io
import json
import sys

import numpy as np
import pytest
from rich.console import Console

from build.bench import __main__ as command
from build.bench import augment, turns

PEERS = ("torch", "torchvision", "keras_cv", "keras")


@pytest.fixture
def printed(monkeypatch) -> io.StringIO:
    """What the benchmarks print."""
    text = io.StringIO()
    console = Console(file=text, width=100, soft_wrap=True)
    monkeypatch.setattr(augment, "console", console)
    monkeypatch.setattr(command, "console", console)
    return text


def test_contenders_take_turns_in_an_order_that_changes():
    calls = []
    contenders = {"a": lambda _: calls.append("a"), "b": lambda _: calls.append("b")}
    rounds = turns.take(contenders, np.zeros((4, 2, 2, 3), np.uint8), rounds=3)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert [spent.shape for spent in rounds.values()] == [(3,), (3,)]


def test_time_is_the_processors_an_image_and_not_the_clocks():
    import time

    def work(_):
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    rounds = turns.take({"sleeps": lambda _: time.sleep(0.05), "works": work}, np.zeros((4, 1, 1, 3)), rounds=2)
    assert rounds["sleeps"].min() < 2.5
    assert rounds["works"].min() == pytest.approx(5, abs=2.5)


def test_the_machine_is_one_line_with_its_cores_and_versions():
    line = turns.machine()
    assert "\n" not in line
    assert "cores" in line
    assert np.__version__ in line


def test_the_bench_measures_ours_and_says_which_peers_are_absent(monkeypatch, tmp_path, printed):
    for name in PEERS:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(augment, "ROUNDS", 2)
    facts = augment.compare(augment.cells(8))
    assert set(facts) == {"ours", "the paper in OpenCV", "the paper in Pillow"}
    assert facts["ours"]["times_ours"] == 1
    assert facts["the paper in Pillow"]["times_ours"] > 2
    text = printed.getvalue()
    assert text.count("not measured") == 4
    assert "keras_cv is not installed here" in text
    assert "Target: at most 0.2 cpu-ms" in text
    monkeypatch.chdir(tmp_path)
    assert json.loads(turns.save("augment", facts).read_text()) == facts


def test_whole_batches_are_measured_alone_and_through_the_trainer(monkeypatch, printed):
    monkeypatch.setattr(augment, "ROUNDS", 1)
    monkeypatch.setattr(augment, "trainer_speed", lambda *_: 1234.0)
    facts = augment.throughput(augment.cells(16))
    assert {"podium", "AugMix alone"} <= set(facts)
    assert all(0 < fact["cpu_ms"] < 20 for fact in facts.values())
    assert "1,234" in printed.getvalue()


@pytest.mark.slow
def test_the_trainers_threads_hand_out_every_image(monkeypatch):
    monkeypatch.setattr(augment, "BATCH", 8)
    speed = augment.trainer_speed(augment.find("podium"), augment.cells(16), np.arange(16) % 8, batches=4)
    assert speed > 50


def test_an_unknown_subject_measures_nothing_and_exits_with_two(monkeypatch, printed):
    monkeypatch.setattr(augment, "main", lambda: pytest.fail("measured"))
    assert command.main(["augment", "augmentt"]) == 2
    assert "augmentt" in printed.getvalue()
    assert "augment" in command.subjects()
    assert "turns" not in command.subjects()
    assert command.main(["--help"]) == 0


def test_the_named_subject_is_run(monkeypatch):
    ran = []
    monkeypatch.setattr(augment, "main", lambda: ran.append("augment"))
    assert command.main(["augment"]) == 0
    assert ran == ["augment"]
