"""From a weights file to labels: any input form gives the same labels, batches do not matter, memory stays flat."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from submission import weights
from submission.contract import CLASSES, IMAGE_SHAPE
from submission.inference import Predictor
from submission.network import build, complete, variables
from submission.views import SYMMETRIES, zoomed

ROOT = Path(__file__).resolve().parent.parent
SPECS = {
    "custom-cnn": {"network": "custom-cnn", "filters": 4},
    "convnext": {"network": "convnext", "size": "atto"},
    "efficientnet-lite": {"network": "efficientnet-lite", "size": "lite0"},
}


def write_network(path: Path, name: str, rng: np.random.Generator, **meta) -> Path:
    """A weights file of a network with drawn weights, whose head is centred so that many classes are predicted."""
    spec = complete(SPECS[name] | {"classes": len(CLASSES), "image_shape": list(IMAGE_SHAPE)})
    arrays = {}
    for weight, variable in variables(build(spec)).items():
        shape = tuple(variable.shape)
        if weight.endswith("/kernel"):
            fan_in = np.prod(shape[:2]) if weight.split("/")[0].endswith("depthwise") else np.prod(shape[:-1])
            arrays[weight] = rng.normal(0, np.sqrt(2 / fan_in), shape)
        elif weight.endswith(("/gamma", "/moving_variance")):
            arrays[weight] = rng.uniform(0.7, 1.3, shape)
        else:
            arrays[weight] = rng.normal(0, 0.1, shape)
    weights.save(path, arrays, {"spec": spec, **meta}, storage="float32")
    arrays["logits/bias"] = arrays["logits/bias"] - Predictor(path, views=1).logits(pictures(rng, 32)).mean(axis=0)
    weights.save(path, arrays, {"spec": spec, **meta}, storage="float32")
    return path


def pictures(rng: np.random.Generator, count: int) -> np.ndarray:
    """Images of a few large coloured squares (noise alone would look all the same to a network)."""
    images = rng.integers(0, 256, (count, 6, 6, 3), np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    shift = rng.integers(-30, 31, (count, 1, 1, 3))
    return np.clip(images // 2 + 64 + shift, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=SPECS)
def predictor(request, tmp_path_factory) -> Predictor:
    rng = np.random.default_rng(11)
    return Predictor(write_network(tmp_path_factory.mktemp("weights") / "w.npz", request.param, rng))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return write_network(tmp_path_factory.mktemp("weights") / "w.npz", "custom-cnn", np.random.default_rng(12))


def test_every_dtype_and_layout_gives_the_same_labels(predictor, rng):
    images = pictures(rng, 65)
    labels = predictor.labels(images)
    assert labels.shape == (65,)
    assert labels.dtype == np.int64
    assert len(np.unique(labels)) >= 3
    for dtype in (np.float32, np.float64, np.int32):
        np.testing.assert_array_equal(predictor.labels(images.astype(dtype)), labels)
    padded = np.zeros((65, 100, 100, 3), np.uint8)
    padded[:, 2:98, 2:98] = images
    np.testing.assert_array_equal(predictor.labels(padded[:, 2:98, 2:98]), labels)
    np.testing.assert_array_equal(predictor.labels(np.asfortranarray(images)), labels)
    np.testing.assert_array_equal(predictor.labels(images[::-1])[::-1], labels)
    images.flags.writeable = False
    np.testing.assert_array_equal(predictor.labels(images), labels)


def test_labels_do_not_depend_on_the_company_of_an_image(predictor, rng):
    images = pictures(rng, 65)
    logits = predictor.logits(images)
    scale = np.abs(logits).max()
    for count in (1, 2, 63, 64):
        np.testing.assert_allclose(predictor.logits(images[:count]), logits[:count], atol=1e-4 * scale)
    order = rng.permutation(65)
    np.testing.assert_allclose(predictor.logits(images[order]), logits[order], atol=1e-4 * scale)
    np.testing.assert_array_equal(predictor.labels(images[order]), predictor.labels(images)[order])


def test_the_logits_are_those_of_the_trained_network(small, rng):
    images = pictures(rng, 3)
    arrays, meta = weights.load(small)
    model = build(meta["spec"], initialize=False)
    for name, variable in variables(model).items():
        variable.assign(arrays[name])
    expected = np.asarray(model(images.astype(np.float32), training=False))
    np.testing.assert_allclose(Predictor(small).logits(images), expected, atol=1e-4)
    between = images + rng.uniform(0.2, 0.8, images.shape)  # floats keep their fractions
    expected = np.asarray(model(between.astype(np.float32), training=False))
    np.testing.assert_allclose(Predictor(small).logits(between), expected, atol=1e-4)


def test_no_image_gives_no_label(small):
    predictor = Predictor(small)
    for dtype in (np.uint8, np.float64):
        labels = predictor.labels(np.zeros((0, *IMAGE_SHAPE), dtype))
        assert labels.shape == (0,)
        assert labels.dtype == np.int64


def test_views_are_the_symmetries_of_a_square_and_their_logits_are_averaged(small, rng):
    images = pictures(rng, 5)
    one = Predictor(small)
    for count in (2, 4, 8):
        turned = []
        for transpose, flip_height, flip_width in SYMMETRIES[:count]:
            view = images.transpose(0, 2, 1, 3) if transpose else images
            view = view[:, ::-1] if flip_height else view
            turned.append(one.logits(view[:, :, ::-1] if flip_width else view))
        averaged = Predictor(small, views=count).logits(images)
        np.testing.assert_allclose(averaged, np.mean(turned, axis=0), atol=1e-4)
        assert np.abs(averaged - turned[0]).max() > 1e-3
        # Each set of views is a group: a flipped image has the same views.
        np.testing.assert_allclose(Predictor(small, views=count).logits(images[:, :, ::-1]), averaged, atol=1e-4)
    rotated = np.rot90(images, axes=(1, 2))
    np.testing.assert_allclose(Predictor(small, views=8).logits(rotated), averaged, atol=1e-4)
    larger = Predictor(small, views=8).logits(zoomed(images))
    assert np.abs(larger - averaged).max() > 1e-3
    np.testing.assert_allclose(Predictor(small, views=16).logits(images), (averaged + larger) / 2, atol=1e-4)


class Ticking:
    """A clock that runs by a number of seconds a look."""

    def __init__(self, seconds: float):
        self.now, self.seconds = 0.0, seconds

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


def test_views_become_fewer_where_the_time_would_not_suffice_and_every_image_has_its_label(tmp_path, rng):
    images = pictures(rng, 50)
    path = write_network(tmp_path / "w.npz", "custom-cnn", rng, views=8, seconds=100.0)
    enough = Predictor(path, batch=8)
    np.testing.assert_array_equal(enough.logits(images), Predictor(path, views=8, batch=8).logits(images))
    one, four = (Predictor(path, views=views, batch=8).logits(images) for views in (1, 4))
    hurried = Predictor(path, batch=8)
    hurried.deadline.clock = Ticking(1.0)
    # Seven batches of eight views, each a second: 56 s. A second call would need as many, but 44 are left.
    np.testing.assert_array_equal(hurried.logits(images), enough.logits(images))
    np.testing.assert_array_equal(hurried.logits(images)[:8], four[:8])
    np.testing.assert_array_equal(hurried.logits(images), one)
    assert hurried.labels(images[:0]).shape == (0,)


def test_called_image_by_image_the_views_become_fewer_in_time(tmp_path, rng):
    images = pictures(rng, 20)
    path = write_network(tmp_path / "w.npz", "custom-cnn", rng, views=8, seconds=27.0, images=20)
    hurried = Predictor(path, batch=8)
    hurried.deadline.clock = Ticking(1.0)
    found = np.concatenate([hurried.logits(image[None]) for image in images])
    np.testing.assert_array_equal(found[:1], Predictor(path, views=8).logits(images[:1]))  # 8 s; 19 are left for 19
    np.testing.assert_allclose(found[1:], Predictor(path, views=1, batch=1).logits(images[1:]), atol=1e-5)


def test_views_come_from_the_file_unless_given_and_batches_do_not_matter(tmp_path, rng):
    path = write_network(tmp_path / "w.npz", "custom-cnn", rng, views=4)
    assert (Predictor(path).views, Predictor(path).batch) == (4, 64)
    assert (Predictor(path, views=2, batch=8).views, Predictor(path, views=2, batch=8).batch) == (2, 8)
    images = pictures(rng, 33)
    np.testing.assert_allclose(Predictor(path, batch=8).logits(images), Predictor(path).logits(images), atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"classes": 5}, "holds a network for 5 classes"),
        ({"image_shape": [64, 64, 3]}, r"images \[64, 64, 3\], the contract asks for 8 classes"),
    ],
)
def test_a_network_for_another_contract_is_refused(changes, sentence, tmp_path):
    spec = complete(SPECS["custom-cnn"] | {"classes": 8, "image_shape": list(IMAGE_SHAPE)} | changes)
    arrays = {name: variable.numpy() for name, variable in variables(build(spec)).items()}
    weights.save(tmp_path / "w.npz", arrays, {"spec": spec}, storage="float32")
    with pytest.raises(weights.WeightsError, match=sentence):
        Predictor(tmp_path / "w.npz")


@pytest.mark.parametrize(("name", "weight"), [("custom-cnn", "block_1_conv/bias"), ("convnext", "stem_norm/gamma")])
def test_arrays_that_are_not_the_networks_are_refused(name, weight, tmp_path, rng):
    path = write_network(tmp_path / "w.npz", name, rng)
    arrays, meta = weights.load(path)
    for changed, sentence in (
        ({key: array for key, array in arrays.items() if key != weight}, f"lacks {weight}"),
        (arrays | {"more/bias": np.zeros(3)}, "has more/bias too"),
        (arrays | {weight: np.zeros(3)}, f"has another shape of {weight}"),
    ):
        weights.save(path, changed, meta, storage="float32")
        with pytest.raises(weights.WeightsError, match=sentence):
            Predictor(path)


@pytest.mark.parametrize("meta", [{}, {"spec": None}, {"spec": {}}, {"spec": {"network": "resnet"}}, {"spec": []}])
def test_a_file_that_names_no_network_is_refused(meta, tmp_path):
    weights.save(tmp_path / "w.npz", {"a": np.zeros(2)}, meta, storage="float32")
    with pytest.raises(weights.WeightsError, match="does not say which network it holds"):
        Predictor(tmp_path / "w.npz")


@pytest.mark.parametrize("views", [3, 32])
def test_views_that_cannot_be_are_refused(small, views):
    with pytest.raises(weights.WeightsError, match="Expected"):
        Predictor(small, views=views)


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from submission.contract import IMAGE_SHAPE
from submission.inference import Predictor

predictor = Predictor(sys.argv[1])

def kib(field):
    return int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0])

for dtype in ("uint8", "float64"):
    image = np.full((1, *IMAGE_SHAPE), 128, dtype)
    predictor.labels(np.broadcast_to(image, (256, *IMAGE_SHAPE)))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = kib("VmRSS")
    predictor.labels(np.broadcast_to(image, (2500, *IMAGE_SHAPE)))  # takes no memory itself: all rows are one
    print(kib("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_memory_does_not_grow_with_the_images(small):
    command = [sys.executable, "-c", PROGRAM, str(small)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200, check=True)
    grown = [int(line) / 1024 for line in done.stdout.split()]
    assert len(grown) == 2
    # One copy of the 2500 images would take 66 MiB as uint8, 264 as float32.
    assert max(grown) < 40


def test_floats_of_0_to_1_are_taken_for_normalised_pixels(predictor):
    images = pictures(np.random.default_rng(5), 130)
    whole = predictor.labels(images)
    assert len(set(whole.tolist())) > 1
    np.testing.assert_array_equal(predictor.labels((images / 255).astype(np.float32)), whole)
    np.testing.assert_array_equal(predictor.labels(images.astype(np.float64) / 255), whole)
    beyond = (images / 255).astype(np.float32)
    beyond[0, 0, 0, 0] = 1.2  # noise that nobody cut off
    assert (predictor.labels(beyond) == whole)[1:].all()
    for outlier in (np.nan, np.inf, 9.0):  # tell nothing of the range
        holed = (images / 255).astype(np.float32)
        holed[0, 0, 0, 0] = outlier
        assert (predictor.labels(holed) == whole)[1:].all()
    noisy = np.clip(images, 200, 255) / 255 + np.random.default_rng(0).normal(0, 0.4, images.shape)
    np.testing.assert_allclose(predictor.logits(noisy), predictor.logits(noisy * 255), atol=1e-3)
    black = np.zeros((3, *IMAGE_SHAPE))
    np.testing.assert_array_equal(predictor.logits(black), predictor.logits(black.astype(np.float32)))
    mixed = images.astype(np.float32)
    mixed[:-1] = 1  # one image above 1, in the last batch, is enough
    np.testing.assert_allclose(predictor.logits(mixed)[-1:], predictor.logits(images[-1:]), atol=1e-3)
    np.testing.assert_allclose(predictor.logits(mixed)[:1], predictor.logits(np.ones_like(images[:1])), atol=1e-3)
