import dataclasses
import io
import json
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from rich.console import Console

from build.bench import __main__ as command
from build.bench import augment, turns
from build.data.synthetic import SHARES
from build.train import batches
from submission import network as networks

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


def test_time_is_the_processors_an_image_and_not_the_clocks(monkeypatch):
    """By clocks of the test's own: this process has threads of earlier tests, whose time its processor's clock counts too."""
    now = {"processor": 100.0, "wall": 500.0}
    clocks = SimpleNamespace(process_time=lambda: now["processor"], perf_counter=lambda: now["wall"])
    monkeypatch.setattr(turns, "time", clocks)

    def contender(*, processor: float, wall: float):
        def call(_):
            now["processor"] += processor
            now["wall"] += wall

        return call

    walls = {}
    rounds = turns.take(
        {"sleeps": contender(processor=0, wall=0.05), "works": contender(processor=0.04, wall=0.02)},
        np.zeros((4, 1, 1, 3)),
        rounds=2,
        walls=walls,
    )
    assert rounds["sleeps"] == pytest.approx([0, 0])
    assert rounds["works"] == pytest.approx([10, 10])
    assert walls["sleeps"] == pytest.approx([12.5, 12.5])
    assert walls["works"] == pytest.approx([5, 5])


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
    handed = []

    class Counted(batches.Batches):
        def __getitem__(self, number):
            x, y = super().__getitem__(number)
            handed.append(len(x))
            return x, y

    monkeypatch.setattr(batches, "Batches", Counted)
    assert augment.trainer_speed(augment.find("podium"), augment.cells(16), np.arange(16) % 8, batches=4) > 0
    assert handed == [8] * 4 * 5  # of five epochs


def test_an_unknown_subject_measures_nothing_and_exits_with_two(monkeypatch, printed):
    monkeypatch.setattr(augment, "main", lambda: pytest.fail("measured"))
    assert command.main(["augment", "augmentt"]) == 2
    assert "augmentt" in printed.getvalue()
    assert "augment" in command.subjects()
    assert "turns" not in command.subjects()
    assert command.main(["--help"]) == 0


def test_several_subjects_have_a_process_each(monkeypatch):
    ran = []

    def run(arguments, **_):
        ran.append(arguments)
        return SimpleNamespace(returncode=2 if arguments[-1] == "cost" else 0)

    monkeypatch.setattr(command.subprocess, "run", run)
    assert command.main(["augment", "cost", "judge"]) == 2
    assert [arguments[-3:] for arguments in ran] == [
        ["-m", "build.bench", name] for name in ("augment", "cost", "judge")
    ]
    monkeypatch.setattr(command.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=-9))
    assert command.main(["augment", "judge"]) == 1


def test_the_named_subject_is_run(monkeypatch):
    ran = []
    monkeypatch.setattr(augment, "main", lambda: ran.append("augment"))
    assert command.main(["augment"]) == 0
    assert ran == ["augment"]


def test_the_cost_of_a_training_is_counted_from_the_network(monkeypatch):
    from build.bench import cost

    tiny = {"network": "custom-cnn", "depth": 3, "filters": 8, "classes": 8, "image_shape": [16, 16, 3]}
    network = networks.build(tiny)
    # Blocks of one convolution each and a pooling by two: 16 x 16 of 3 -> 8, 8 x 8 of 8 -> 16, 4 x 4 of 16 -> 32, then the head.
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    by_hand = sum(
        layer.output.shape[1] * layer.output.shape[2] * 9 * layer.input.shape[-1] * layer.filters
        for layer in convolutions
    )
    assert cost.multiplications(network) == by_hand + 32 * 8
    atto = networks.build({"network": "convnext", "size": "atto", "classes": 1000, "image_shape": [224, 224, 3]})
    assert cost.multiplications(atto) == pytest.approx(0.55e9, rel=0.01)  # timm, at 224 pixels


def test_the_cost_of_a_training_counts_the_copies_that_balance_its_classes():
    from build.bench import cost

    podium = cost.RECIPES["podium"]
    assert cost.images_an_epoch(dataclasses.replace(podium, balance="none")) == cost.TRAINING_CELLS
    wanted = sum(max(count, round(podium.balance_share * 2330)) for count in SHARES.values()) / sum(SHARES.values())
    assert cost.images_an_epoch(podium) == pytest.approx(wanted * cost.TRAINING_CELLS, rel=1e-3)
    half, whole = (cost.cost(dataclasses.replace(podium, balance=way))["pflop"] for way in ("none", "augment"))
    assert whole / half == pytest.approx(wanted, rel=0.02)


def test_layers_that_do_not_learn_cost_a_third():
    from build.bench import cost

    lite = cost.RECIPES["podium-lite"]
    whole = dataclasses.replace(lite, fine_tune_layers=0, head_epochs=0)
    facts = {name: cost.cost(recipe) for name, recipe in {"frozen": lite, "whole": whole}.items()}
    assert facts["frozen"]["gflop"] == facts["whole"]["gflop"]
    head = cost.cost(dataclasses.replace(lite, fine_tune_layers=1))
    assert head["pflop"] == pytest.approx(facts["whole"]["pflop"] / 3, rel=0.1)
    assert head["pflop"] < facts["frozen"]["pflop"] < facts["whole"]["pflop"]
    scratch = cost.cost(dataclasses.replace(lite, weights="none"))
    assert scratch["pflop"] == facts["whole"]["pflop"]  # without pretrained weights all layers learn
    first = cost.cost(dataclasses.replace(whole, head_epochs=lite.epochs // 4))
    assert first["pflop"] == pytest.approx(facts["whole"]["pflop"] * (1 + 3 * 3) / (4 * 3), rel=0.1)


def test_a_training_is_counted_for_each_card_at_the_size_that_it_trains(monkeypatch):
    from build.bench import cost

    fact = cost.cost(dataclasses.replace(cost.RECIPES["podium-gpu"], upsample=1.0))
    sizes = {name: size for name, (_, size) in fact["cards"].items()}
    assert sizes == {"T4": "tiny", "A100": "base", "H100": "base"}
    assert fact["size"] == "base"
    (t4, _), (a100, _), (h100, _) = fact["cards"].values()
    assert a100 / h100 == pytest.approx(989 / 312, rel=0.02)
    assert t4 < a100 * 312 / 65 / 2  # tiny has less than a third of base's operations
