"""The engines of the prediction benchmark compute the same thing, so that their times can be compared."""

import functools
import json

import engine_processes
import numpy as np
import pytest

from build.bench import engines, exported, predict
from build.bench.engines import ENGINES, OTHER_WEIGHTS, OURS, ROUGH
from build.bench.predict import check, contenders
from submission import contract
from submission.convnext import weight_shapes
from submission.folded_convnext import forward
from submission.network import complete

PEERS = ("ai_edge_litert", "onnx", "onnxruntime", "timm", "torch")
SPEC = complete({"network": "convnext", "size": "atto", "classes": 8, "image_shape": list(contract.IMAGE_SHAPE)})


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.integers(0, 256, (4, *contract.IMAGE_SHAPE), np.uint8)


@pytest.fixture
def arrays(rng) -> dict[str, np.ndarray]:
    """Weights of ConvNeXt atto that no part hides."""
    shapes = weight_shapes(size="atto", classes=8)
    return {
        name: (
            rng.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape) if len(shape) > 1 else rng.uniform(0.5, 1.0, shape)
        ).astype(np.float32)
        for name, shape in shapes.items()
    }


def absent(monkeypatch, *names: str) -> None:
    """Let `predict` find none of these packages."""
    real = predict.importlib.util.find_spec
    monkeypatch.setattr(predict.importlib.util, "find_spec", lambda name: None if name in names else real(name))


def test_an_onnx_file_computes_what_the_network_computes(tmp_path, images, arrays):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    expected = forward(arrays, SPEC)(images).numpy()
    exported.write_onnx(arrays, SPEC, tmp_path / "float32.onnx")
    np.testing.assert_allclose(engines.onnx(tmp_path / "float32.onnx")(images), expected, atol=1e-3)
    exported.write_onnx_int8(tmp_path / "float32.onnx", tmp_path / "int8.onnx")
    rounded = engines.onnx(tmp_path / "int8.onnx")(images)
    assert 0 < np.abs(rounded - expected).max() < 1
    assert (tmp_path / "int8.onnx").stat().st_size < 0.4 * (tmp_path / "float32.onnx").stat().st_size


@pytest.mark.slow
def test_a_litert_file_computes_what_the_network_computes_for_any_number_of_images(tmp_path, images, arrays):
    pytest.importorskip("ai_edge_litert")
    expected = forward(arrays, SPEC)(images).numpy()
    exported.write_litert(arrays, SPEC, tmp_path / "float32.tflite", int8=False)
    run = engines.litert(tmp_path / "float32.tflite")
    for count in (4, 1, 3):
        np.testing.assert_allclose(run(images[:count]), expected[:count], atol=1e-3)


def test_engines_that_answer_otherwise_are_refused():
    logits = np.eye(8, dtype=np.float32)
    good = {OURS: logits, "LiteRT float32": logits + 1e-4, ROUGH[0]: logits + 0.2, OTHER_WEIGHTS[0]: logits[::-1]}
    assert check(good) == {ROUGH[0]: 1.0}
    with pytest.raises(AssertionError, match="LiteRT float32"):
        check(good | {"LiteRT float32": logits + 1e-2})
    with pytest.raises(AssertionError, match=r"0\.00 of the labels"):
        check(good | {ROUGH[0]: np.roll(logits, 1, axis=1)})


def test_an_engine_in_its_own_process_answers_and_says_what_it_spent(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "serve", engine_processes.doubling)
    remote = engines.Remote("any", tmp_path)
    assert remote.cpu() == 1.0
    assert remote(np.array([1, 2])).tolist() == [2, 4]
    assert remote.cpu() == 1.5
    with pytest.raises((EOFError, BrokenPipeError, ConnectionResetError)):
        remote(np.array([1]))


def test_an_engine_whose_process_ends_is_an_end_of_file(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "serve", engine_processes.ended)
    with pytest.raises(EOFError):
        engines.Remote("any", tmp_path)


@pytest.mark.slow
def test_ours_beats_keras_applications_and_absent_peers_are_named(tmp_path, monkeypatch, images, capsys):
    absent(monkeypatch, *PEERS)
    runners, missing = contenders("atto", tmp_path)
    assert len(missing) == len([needs for _, _, needs in ENGINES.values() if needs])
    assert all("is not installed here" in sentence for sentence in missing)
    expected = runners[OURS](images)
    assert np.ptp(expected, axis=1).min() > 0.1  # between classes
    assert np.ptp(expected, axis=0).max() > 0.01  # between images
    monkeypatch.setattr(predict, "contenders", lambda *_: (runners, missing))
    monkeypatch.setattr(predict, "single", functools.partial(predict.single, calls=5))
    facts = predict.compare("atto", images, tmp_path, rounds=3)
    json.dumps(facts)
    assert facts["batches"].keys() == facts["single"].keys() == runners.keys()
    grouped = [fact["times_ours"] for name, fact in facts["batches"].items() if "keras.applications" in name]
    assert min(grouped) > 2  # about 15 on an idle machine
    first = predict.first_answers(tmp_path, [OURS], starts=1)
    assert first[OURS]["cpu_s"] > 0
    said = capsys.readouterr().err
    assert "One image a call" in said
    assert "LiteRT float32: not measured" in said
