"""The memory of a prediction does not grow with the number of images, and a copy of them all would be seen."""

from pathlib import Path

import pytest

from build.bench.memory import MOST, growth, stage
from build.errors import UserError

NETWORK = {"network": "custom-cnn", "depth": 3, "filters": 4}
IMAGES = 20_000  # 527 MiB
pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux' /proc")


@pytest.mark.slow
@pytest.mark.parametrize("views", [1, pytest.param(8, marks=pytest.mark.exhaustive)])
def test_predicting_many_images_takes_little_memory_more(tmp_path, views):
    stage(tmp_path, NETWORK, views=views)
    found = growth(tmp_path, IMAGES)
    assert 100 < found["loaded_mib"] < 3000
    assert found["growth_mib"] < MOST


def test_what_does_not_predict_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"does not predict: ModuleNotFoundError: .*'model'; repair it"):
        growth(tmp_path, 1)


@pytest.mark.slow
def test_a_model_that_copies_all_images_is_noticed(tmp_path):
    (tmp_path / "model.py").write_text(
        "import numpy as np\n"
        "class Model:\n"
        "    def predict(self, X):\n"
        "        return np.ascontiguousarray(X[:, ::-1]).sum(axis=(1, 2, 3)).astype(np.int64)\n"
    )
    assert growth(tmp_path, IMAGES)["growth_mib"] > MOST
