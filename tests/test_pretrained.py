"""Weights that a network begins with: keras.applications' files in every form, our own, and what is wrong with a file."""

import h5py
import keras
import numpy as np
import pytest

from build.errors import UserError
from build.train import pretrained
from build.train.pretrained import PUBLISHED, download, load
from submission import weights as files
from submission.applications import APPLICATIONS
from submission.convnext import PIXEL_DEVIATION, PIXEL_MEAN
from submission.network import build, complete, variables

# Keras' own save_weights converts its variables in the way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

TINY = complete({"network": "convnext", "size": "tiny", "classes": 8, "image_shape": [64, 64, 3]})
SMALL_CNN = complete({"network": "custom-cnn", "classes": 8, "image_shape": [32, 32, 3], "filters": 4})


def randomize(model: keras.Model, rng: np.random.Generator) -> None:
    """Draw every weight: the untrained LayerScale of 1e-6 would hide whatever a block computes."""
    for variable in model.weights:
        shape = variable.shape
        deviation = 1 / np.sqrt(np.prod(shape[:-1])) if len(shape) > 1 else 0.3
        variable.assign(rng.normal(1.0 if variable.name == "gamma" else 0.0, deviation, shape))


def convnext_tiny(rng, **settings) -> keras.Model:
    model = keras.applications.ConvNeXtTiny(weights=None, **settings)
    randomize(model, rng)
    return model


@pytest.fixture(scope="module")
def with_top(tmp_path_factory):
    """(keras.applications' network of 5 classes, images, its logits, a file of its weights)."""
    rng = np.random.default_rng(3)
    model = convnext_tiny(rng, classes=5, classifier_activation=None, input_shape=(64, 64, 3))
    images = rng.integers(0, 256, (3, 64, 64, 3)).astype(np.float32)
    path = tmp_path_factory.mktemp("keras") / "tiny.weights.h5"
    model.save_weights(path)
    return model, images, np.asarray(model(images)), path


@pytest.mark.slow
def test_keras_convnext_gives_the_same_logits_once_loaded_into_ours(with_top):
    _, images, expected, path = with_top
    spec = TINY | {"classes": 5}
    network = build(spec)
    assert load(network, spec, str(path)) == []
    found = np.asarray(network(images))
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
def test_a_head_of_other_classes_keeps_its_values_and_the_rest_is_loaded(with_top):
    model, images, _, path = with_top
    network = build(TINY)
    before = {name: variable.numpy().copy() for name, variable in variables(network).items()}
    assert load(network, TINY, path) == ["logits/kernel", "logits/bias"]
    after = {name: variable.numpy().copy() for name, variable in variables(network).items()}
    assert {name for name in after if np.array_equal(after[name], before[name])} == {"logits/kernel", "logits/bias"}
    theirs = keras.Model(model.input, model.layers[-2].output)
    ours = keras.Model(network.input, network.get_layer("head_norm").output)
    np.testing.assert_allclose(np.asarray(ours(images)), np.asarray(theirs(images)), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_files_without_top_give_the_same_features_in_either_format(suffix, rng, tmp_path):
    model = convnext_tiny(rng, include_top=False, pooling="avg", input_shape=(64, 64, 3))
    path = tmp_path / f"notop{suffix}"
    if suffix == ".h5":
        from keras.src.legacy.saving import legacy_h5_format  # the format of the published files

        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    else:
        model.save_weights(path)
    images = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    network = build(TINY)
    assert load(network, TINY, path) == ["logits/kernel", "logits/bias"]
    ours = keras.Model(network.input, network.get_layer("head_norm").output)
    np.testing.assert_allclose(np.asarray(ours(images)), np.asarray(model(images)), atol=1e-4)


def application_file(name: str, top: bool, rng, folder, *, side: int = 96, deviation_as_variance: bool = True):
    """(a network of keras.applications with drawn weights, the file they are saved in, its features as a function of pixels)."""
    kind = APPLICATIONS[name]
    settings = {"include_top": True, "classes": 4} if top else {"include_top": False, "pooling": "avg"}
    model = getattr(keras.applications, kind.constructor)(weights=None, input_shape=(side, side, 3), **settings)
    for key, variable in variables(model).items():  # so that images differ in the features, and statistics count
        shape = variable.shape
        if key.startswith("normalization"):
            continue
        fan_in = np.prod(shape[:2]) * (1 if shape[-1] == 1 else shape[2]) if len(shape) == 4 else 1
        positive = key.endswith(("gamma", "moving_variance"))
        values = rng.uniform(0.7, 1.3, shape) if positive else rng.normal(0, np.sqrt(2 / fan_in), shape)
        variable.assign(values if positive or len(shape) == 4 else 0.1 * values)
    deviation = np.array(PIXEL_DEVIATION) / 255
    if name.startswith("efficientnet"):
        norm = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
        norm.set_weights(
            [np.array(PIXEL_MEAN) / 255, deviation if deviation_as_variance else deviation**2, np.zeros(())]
        )
    path = folder / f"{name}.weights.h5"
    model.save_weights(path)
    if name.startswith("efficientnet"):
        norm.mean, norm.variance = np.float32(PIXEL_MEAN) / 255, np.float32(deviation**2)  # what it computes with
    pool = [layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)][-1]
    inner = keras.Model(model.input, pool.output)
    module = getattr(keras.applications, MODULES[name])
    return path, lambda images: np.asarray(inner(module.preprocess_input(images.copy()))).reshape(len(images), -1)


MODULES = {
    "resnet50": "resnet",
    "xception": "xception",
    "inception-v3": "inception_v3",
    "efficientnet-b0": "efficientnet",
    "efficientnet-b4": "efficientnet",
    "mobilenet-v3-large": "mobilenet_v3",
}

DEEP = ("inception-v3", "efficientnet-b4")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "top"),
    [
        *(pytest.param(name, False, marks=[pytest.mark.exhaustive] if name in DEEP else ()) for name in MODULES),
        ("mobilenet-v3-large", True),
        pytest.param("resnet50", True, marks=pytest.mark.exhaustive),
    ],
)
def test_files_of_keras_applications_give_their_features_of_pixels(name, top, rng, tmp_path):
    path, features = application_file(name, top, rng, tmp_path)
    spec = complete({"network": name, "classes": 8, "image_shape": [96, 96, 3]})
    network = build(spec, initialize=False)
    assert load(network, spec, path) == ["logits/kernel", "logits/bias"]
    images = rng.integers(0, 256, (2, 96, 96, 3)).astype(np.float32)
    theirs = features(images)
    ours = np.asarray(keras.Model(network.input, network.get_layer("head_dropout").input)(images))
    assert np.abs(theirs[0] - theirs[1]).max() > 0.01 * np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * max(1, np.abs(theirs).max()))


@pytest.mark.slow
def test_an_efficientnet_that_expects_other_pixels_is_refused(rng, tmp_path):
    path, _ = application_file("efficientnet-b0", False, rng, tmp_path)
    spec = complete({"network": "efficientnet-b0", "classes": 8, "image_shape": [96, 96, 3]})
    network = build(spec, initialize=False)
    with h5py.File(path, "r+") as file:
        file["layers/normalization/vars/1"][...] = 1.0
    with pytest.raises(
        UserError, match=r"expect pixels of mean \[0.485, 0.456, 0.406\] and variance \[1.0, 1.0, 1.0\]"
    ):
        load(network, spec, path)


def test_published_weights_are_for_width_one_only():
    spec = complete({"network": "resnet50", "classes": 8, "image_shape": [64, 64, 3], "width": 0.1})
    with pytest.raises(UserError, match=r"are for width 1, the recipe has 0\.1; .*--weights none"):
        load(build(SMALL_CNN), spec, "imagenet")


@pytest.mark.slow
def test_a_file_of_another_size_is_refused_and_nothing_is_set(with_top):
    spec = TINY | {"size": "small"}
    network = build(spec)
    before = [variable.numpy().copy() for variable in network.weights]
    with pytest.raises(UserError, match="does not hold the convnext small"):
        load(network, spec, with_top[-1])
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, network.weights, strict=True))


def test_our_own_file_is_loaded_whole_and_its_head_left_out_where_the_classes_differ(rng, tmp_path):
    arrays = {name: rng.normal(size=variable.shape) for name, variable in variables(build(SMALL_CNN)).items()}
    path = tmp_path / "weights.npz"
    files.save(path, arrays, {"spec": SMALL_CNN}, storage="float32")
    same = build(SMALL_CNN)
    assert load(same, SMALL_CNN, path) == []
    for name, variable in variables(same).items():
        np.testing.assert_array_equal(variable.numpy(), arrays[name].astype(np.float32))
    spec = SMALL_CNN | {"classes": 3}
    other = build(spec)
    head = variables(other)["logits/kernel"].numpy().copy()
    assert load(other, spec, path) == ["logits/kernel", "logits/bias"]
    np.testing.assert_array_equal(variables(other)["logits/kernel"].numpy(), head)
    np.testing.assert_array_equal(
        variables(other)["block_1_conv/kernel"].numpy(), arrays["block_1_conv/kernel"].astype(np.float32)
    )


def test_our_own_file_of_another_network_or_width_is_refused_and_nothing_is_set(rng, tmp_path):
    path = tmp_path / "weights.npz"
    wide = SMALL_CNN | {"filters": 8}
    files.save(
        path,
        {name: rng.normal(size=variable.shape) for name, variable in variables(build(wide)).items()},
        {"spec": wide},
        storage="float32",
    )
    network = build(SMALL_CNN)
    before = [variable.numpy().copy() for variable in network.weights]
    with pytest.raises(UserError, match=r"another network: block_0_conv/kernel has shape \(3, 3, 3, 8\)"):
        load(network, SMALL_CNN, path)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, network.weights, strict=True))
    atto = complete({"network": "convnext", "classes": 8, "image_shape": [32, 32, 3]})
    with pytest.raises(UserError, match="holds network 'custom-cnn', the recipe asks for 'convnext'"):
        load(network, atto, path)


def test_bad_files_are_one_sentence_each(tmp_path):
    network = build(SMALL_CNN)
    damaged_h5, damaged_npz, other = (tmp_path / name for name in ("a.h5", "b.npz", "c.pth"))
    for path in (damaged_h5, damaged_npz, other):
        path.write_bytes(b"no weights in here")
    for spec, path, sentence in (
        (SMALL_CNN, tmp_path / "absent.npz", "There is no weights file"),
        (SMALL_CNN, damaged_npz, "damaged or not one of ours"),
        (SMALL_CNN, other, r"Expected weights in a file of ours \(.npz\) or of keras.applications \(.h5\)"),
        (SMALL_CNN, "imagenet", "Nobody publishes weights of custom-cnn"),
        (TINY, damaged_h5, "damaged or no HDF5 file"),
        (TINY | {"size": "atto"}, "imagenet", "Nobody publishes weights of convnext atto"),
        (TINY | {"stem_patch": 2}, "imagenet", "are for stem_patch 4, the recipe has 2"),
    ):
        with pytest.raises(UserError, match=sentence) as caught:
            load(network, spec, path)
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)


def test_without_a_network_the_sentence_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    unreachable = "http://127.0.0.1:9/convnext_tiny.h5"
    monkeypatch.setitem(PUBLISHED, ("convnext", "tiny"), (unreachable, PUBLISHED["convnext", "tiny"][1]))
    monkeypatch.setattr(keras.utils, "get_file", offline(keras.utils.get_file, tmp_path))
    with pytest.raises(
        UserError, match=r"could not be downloaded .*--weights PATH, or .*--weights none, or take --recipe podium"
    ) as caught:
        load(build(SMALL_CNN), TINY, "imagenet")
    assert unreachable in str(caught.value)
    assert not list(tmp_path.rglob("*.h5"))


def offline(get_file, folder):
    """Keras' own download, with a cache of its own (KERAS_HOME is read at import time)."""
    return lambda *arguments, **settings: get_file(*arguments, **settings, cache_dir=str(folder))


def test_a_file_that_is_not_the_published_one_is_refused(monkeypatch, tmp_path):
    served = tmp_path / "served" / "convnext_tiny.h5"
    served.parent.mkdir()
    served.write_bytes(b"something else")
    monkeypatch.setitem(PUBLISHED, ("convnext", "tiny"), (served.as_uri(), PUBLISHED["convnext", "tiny"][1]))
    monkeypatch.setattr(keras.utils, "get_file", offline(keras.utils.get_file, tmp_path / "cache"))
    with pytest.raises(UserError, match="could not be downloaded"):
        download("convnext", "tiny")


def test_addresses_and_hashes_are_those_of_keras_applications(monkeypatch):
    from keras.src.applications import convnext

    for (network, size), (url, digest) in PUBLISHED.items():
        if network == "convnext":
            assert url == f"{convnext.BASE_WEIGHTS_PATH}convnext_{size}.h5"
            assert digest == convnext.WEIGHTS_HASHES[f"convnext_{size}"][0]
    assert {size for network, size in PUBLISHED if network == "convnext"} == set(convnext.MODEL_CONFIGS)
    assert pretrained.DONORS.keys() == {network for network, _ in PUBLISHED}


class Asked(Exception):
    """Stops keras.applications at its download."""


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_the_file_is_the_one_that_keras_applications_would_fetch(name, monkeypatch):
    asked = {}

    def get_file(fname, origin, *, file_hash, **_):
        asked.update(url=origin, digest=file_hash)
        raise Asked

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with pytest.raises(Asked):
        getattr(keras.applications, APPLICATIONS[name].constructor)(include_top=False, input_shape=(224, 224, 3))
    assert PUBLISHED[name, None] == (asked["url"], asked["digest"])
