"""What a framework writes by itself is no fault of the submission."""

import bundles
import numpy as np
import pytest

from build.score.judge import judge
from build.score.suites import Condition

GENERATES = """
import importlib.util, os, tempfile
import numpy as np
class Model:
    def __init__(self):
        path = os.path.join(tempfile.gettempdir(), "__autograph_generated_file0.py")
        with open(path, "w") as file:
            file.write("shift = 1")
        spec = importlib.util.spec_from_file_location("__autograph_generated_file0", path)
        module = importlib.util.module_from_spec(spec)
        import sys
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        self.shift = module.shift
    def predict(self, X):
        return (np.asarray(X)[:, 0, 0, 0].astype(np.int64) + self.shift) % 8
"""
"""Does what tf.function does: writes a module into the temporary folder and loads it."""


@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_a_module_generated_at_run_time_is_not_foreign(engine, tmp_path, rng):
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (10, 8, 8, 3), np.uint8))
    condition = Condition("held-out", "none", 0, tmp_path / "images.npy", np.arange(10) % 8, np.arange(10))
    zip_path = bundles.submission(tmp_path / "s.zip", {"model.py": GENERATES, "metadata": ""})
    verdict = judge(zip_path, [condition], scratch=tmp_path / "scratch", engine=engine)
    assert verdict.exit_code == 0, verdict.sentence
    assert not {"foreign-module", "writes-outside"} & {finding.rule for finding in verdict.findings}
