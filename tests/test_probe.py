import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from submissions import GOOD, LABELS, cells, model

from build.processes import ROOT
from build.score import probe, sandbox
from build.score.bundle import write_program
from build.score.environment import ServerEnvironment
from build.score.sandbox import Limits
from build.score.worker import Settings

SERVER = ServerEnvironment.read()


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> np.ndarray:
    return probe.sample([cells(tmp_path_factory.mktemp("images")).images_path], 12)


def probed(folder: Path, text: str, images: np.ndarray, engine: str = "plain", seconds: float = 30.0, **options):
    """What the probes find of this model.py."""
    (folder / "submission").mkdir()
    (folder / "submission" / "model.py").write_text(text)
    how = Settings(sandbox.engine(engine), "2026-03", Limits(seconds), SERVER)
    return probe.probe(how, folder / "submission", images, classes=8, work=folder / "work", **options)


def rules(found) -> dict[str, str]:
    return {finding.rule: finding.message for finding in found.findings}


def test_a_model_that_does_as_asked_has_no_finding_and_is_measured(tmp_path, images):
    found = probed(tmp_path, GOOD, images, engine="auto")
    assert found.findings == []
    assert found.recorded
    assert found.failure is None
    # The sum over int64 copies every pixel in eight bytes.
    assert found.growth_bytes_per_image == pytest.approx(96 * 96 * 3 * 8, rel=0.5)


def test_the_memory_of_a_batch_is_none_of_a_further_image(tmp_path, images):
    """64 images at once take 64 MiB here, fewer take less: a call of many images takes no more than that."""
    body = (
        "found = []\n"
        "for start in range(0, len(X), 64):\n"
        "    part = X[start : start + 64]\n"
        "    work = np.ones((len(part), 1 << 17))\n"
        f"    found.append({LABELS.replace('X', 'part')} + 0 * int(work.sum()))\n"
        "return np.concatenate(found or [np.zeros(0, np.int64)])"
    )
    found = probed(tmp_path, model(predict=body), images)
    assert found.findings == []
    assert found.growth_bytes_per_image < 96 * 96 * 3


MODELS = {
    "nondeterministic": (
        model(predict="return np.random.default_rng().integers(0, 8, len(X))"),
        "Two calls with the same images differ for * of 12.",
    ),
    "folder-dependent": (
        model(init="self.shift = 1 + os.path.exists('model.py')", predict=f"return ({LABELS} + self.shift) % 8"),
        "In another working directory 12 of 12 images get another label.",
    ),
    "layout-dependent": (
        model(predict=f"return ({LABELS} + X.flags.c_contiguous) % 8"),
        "In another memory layout 12 of 12 images get another label.",
    ),
    "writes-outside": (
        model(init="import tempfile\nopen(tempfile.gettempdir() + '/left.bin', 'w').write('x')"),
        "It leaves files in the temporary or home folder: tmp/left.bin.",
    ),
    "writes-inside": (
        model(init="from pathlib import Path\nPath(__file__).with_name('cache.npy').write_text('x')"),
        "It writes into its own folder: cache.npy.",
    ),
    "foreign-module": (
        model(top=f"import sys; sys.path.insert(0, {str(ROOT)!r}); import build"),
        "The module build is loaded from */build/__init__.py, outside of the zip and the packages.",
    ),
    "probe-broke-off": (
        model(predict=f"if len(X) < 12:\n    os._exit(3)\nreturn {LABELS}"),
        "The probes broke off at the images alone and in two parts: the process ended with exit code 3.",
    ),
    "fails-batch": (
        model(predict=f"if len(X) == 1:\n    X.squeezed()\nreturn {LABELS}"),
        "With the images alone and in two parts, Model.predict raised AttributeError: 'numpy.ndarray' object has no "
        "attribute 'squeezed' (model.py, line 7).",
    ),
    "fails-dtype": (
        model(predict="return (X & 7).max(axis=(1, 2, 3)).astype(np.int64)"),
        "With the images as floats, Model.predict raised TypeError: *",
    ),
    "empty": (
        model(predict="return np.zeros(max(1, len(X)), np.int64)"),
        "Without images Model.predict returns shape (1,), not (0,).",
    ),
}


@pytest.mark.parametrize("rule", MODELS)
def test_a_dependence_or_trace_is_found_and_named(rule, tmp_path, images):
    text, says = MODELS[rule]
    found = rules(probed(tmp_path, text, images))
    assert set(found) == {rule}
    assert re.fullmatch(re.escape(says).replace(r"\*", ".*"), found[rule])


def test_a_call_that_never_ends_breaks_the_probes_off_and_what_was_found_before_is_kept(tmp_path, images):
    text = model(predict=f"while not X.flags.c_contiguous: pass\nreturn ({LABELS} + (X.dtype == np.uint8)) % 8")
    found = rules(probed(tmp_path, text, images, seconds=6))
    assert set(found) == {"dtype-dependent", "probe-broke-off"}
    assert found["probe-broke-off"].startswith("The probes broke off at another memory layout: ")


def test_a_second_call_that_fails_is_a_finding_and_the_other_checks_go_on(tmp_path, images):
    text = model(init="self.called = False", predict=f"assert not self.called; self.called = True\nreturn {LABELS}")
    found = rules(probed(tmp_path, text, images))
    assert "probe-broke-off" not in found
    assert found


def test_probes_that_leave_no_record_have_not_found_nothing(tmp_path, images, monkeypatch):
    def broken(name: str, folder: Path) -> Path:
        write_program(name, folder)
        (folder / "probe.py").write_text("raise SystemExit('no such folder')")
        return folder

    monkeypatch.setattr(probe, "write_program", broken)
    done = probed(tmp_path, GOOD, images)
    assert not done.recorded
    found = rules(done)
    assert found == {"probes-lost": "The probes left no record: the process ended with exit code 1 (no such folder)."}


def test_what_a_recipe_declares_is_a_note(tmp_path, images):
    text = model(predict="return np.full(len(X), len(X) % 8)")
    found = probed(tmp_path, text, images, adapts=True)
    batch = next(finding for finding in found.findings if finding.rule == "batch-dependent")
    assert batch.severity == "note"
    assert "adapts" in batch.message


def test_a_first_call_that_fails_is_the_failure_of_the_prediction_step(tmp_path, images):
    found = probed(tmp_path, model(predict="return X.lost"), images)
    assert found.failure.step == "prediction"
    assert "'lost'" in found.failure.reason


def test_a_sample_is_taken_evenly_from_all_files(tmp_path):
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.npy")
        np.save(
            paths[-1],
            np.full((10, 2, 2, 3), number, np.uint8) + 10 * np.arange(10, dtype=np.uint8)[:, None, None, None],
        )
    taken = probe.sample(paths, 8)[:, 0, 0, 0]
    assert [list(taken % 10).count(number) for number in range(3)] == [3, 3, 2]
    assert {0, 90} <= set(taken - taken % 10)  # first and last image of a file
    assert len(probe.sample(paths[:1], 4)) == 4
    assert set(probe.sample(paths, 2)[:, 0, 0, 0] % 10) == {0, 2}


FIELDS = ("checks", "failure", "breach", "modules", "inside", "shape", "differing", "parts", "images", "type")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**30) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from([*FIELDS, *probe.WORDS]),
        inner, max_size=5,
    ),
    max_leaves=30,
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(["checks", "running", "failure"]), JSON),
    st.dictionaries(st.sampled_from([*probe.WORDS]), JSON),
)
@settings(derandomize=True, database=None, deadline=None, max_examples=200)
def test_whatever_a_submission_writes_in_the_place_of_the_record_is_judged(record, checks):
    for one in (record, record | {"checks": checks}):
        for finding in probe.judge_record(one, adapts=False).findings:
            assert finding.message.isprintable()
            assert re.fullmatch("[a-z-]+", finding.rule)


def test_the_interpreters_own_folder_is_not_searched_for_traces(tmp_path):
    program = write_program("probe_program", tmp_path / "program")
    for name in ("env/lib/a.py", "cache/b.bin"):
        (tmp_path / "home" / name).parent.mkdir(parents=True)
        (tmp_path / "home" / name).write_text("x")
    lines = f"import sys; sys.path.insert(0, {str(program)!r}); import probe; sys.prefix = sys.argv[1] + '/env'"
    lines += "; print([path[len(sys.argv[1]):] for path in probe.files_below(sys.argv[1])])"
    call = [sys.executable, "-c", lines, str(tmp_path / "home")]
    assert subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip() == "['/cache/b.bin']"
