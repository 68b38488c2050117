"""What an epoch is judged by: the validation cells, clean and perturbed, under the averaged weights."""

import dataclasses

import numpy as np
import pytest
import toy_cells
from toy_cells import RECIPE

from build.train.classifier import Classifier
from build.train.losses import Objective, accuracy
from build.train.validation import Validation
from submission.network import build, complete, variables


class Halving:
    """An optimizer whose averaged weights are half of the raw ones."""

    def load_average(self, trainable) -> None:
        for variable in trainable:
            variable.assign(0.5 * variable)


def test_the_averaged_weights_are_measured_and_kept_and_the_raw_ones_come_back():
    spec = complete({"network": "custom-cnn", "filters": 4, "classes": 8, "image_shape": [96, 96, 3]})
    model = Classifier(build(spec))
    model.compile(loss=Objective(class_weight=[1.0] * 8), metrics=[accuracy], jit_compile=False)
    validation = Validation(toy_cells.prepared(), RECIPE, seed=0, workers=1)
    named = variables(model.network)
    before = {name: np.array(variable) for name, variable in named.items()}
    arrays, measured = validation.measure(model, Halving())
    learned = {id(variable) for variable in model.trainable_variables}
    for name, variable in named.items():
        np.testing.assert_array_equal(np.array(variable), before[name])
        np.testing.assert_allclose(arrays[name], before[name] * (0.5 if id(variable) in learned else 1))
    assert measured["loss"] != pytest.approx(validation.evaluate(model)["loss"], rel=1e-3)


def test_it_shows_the_validation_cells_clean_and_perturbed():
    cells = toy_cells.prepared()
    validation, shown = Validation(cells, RECIPE, seed=0, workers=1), {}
    for name, augmentation in validation.kinds.items():
        with validation.batches(augmentation) as batches:
            assert batches.rows.tolist() == cells.split.validation.tolist()
            shown[name] = batches.make(0)[0]
    clean = cells.cells.images[cells.split.validation]
    np.testing.assert_array_equal(shown[""], clean)
    assert (shown["perturbed_"] != clean).any((1, 2, 3)).mean() > 0.5


@pytest.mark.parametrize(
    "changes", [{"mixup_alpha": 0.4, "mix_probability": 1.0}, {"jsd_weight": 12.0}, {"augmenter": "none"}]
)
def test_the_perturbed_cells_are_perturbed_one_by_one_however_the_recipe_trains(changes):
    cells = toy_cells.prepared()
    validation = Validation(cells, dataclasses.replace(RECIPE, **changes), seed=0, workers=1)
    with validation.batches(validation.kinds["perturbed_"]) as batches:
        pixels, wanted = batches.make(0)
    clean = cells.cells.images[cells.split.validation]
    assert pixels.shape == clean.shape
    assert (pixels != clean).any((1, 2, 3)).mean() > 0.5
    np.testing.assert_array_equal(wanted, np.eye(8)[cells.cells.labels[cells.split.validation]])
