"""The shares of an ensemble's members: fitted by what they say on validation cells that none of them was trained on."""

import dataclasses
import json
import shutil
import subprocess

import numpy as np
import pytest
from test_ensemble import here, images, workplace  # noqa: F401 - fixtures

from build import member_shares
from build import package as packaging
from build.data.split import Split
from build.errors import UserError
from build.member_shares import fit, shares_of
from build.members import open_members
from build.run_cells import cells_of_run
from build.train.member_logits import measure
from submission import ensemble, weights
from submission.inference import Predictor


def answers(rng, labels: np.ndarray, *margins: float) -> np.ndarray:
    """Logits of one member a margin: noise, and the label's logit by its margin higher."""
    logits = rng.normal(size=(len(margins), len(labels), 8))
    logits[:, np.arange(len(labels)), labels] += np.array(margins)[:, None]
    return logits.astype(np.float32)


def test_who_is_right_more_often_has_the_larger_share_and_who_does_harm_none(rng):
    labels = rng.integers(0, 8, 4000)
    shares = fit(answers(rng, labels, 2.0, 1.0, 0.0, -1.0), labels)
    assert sum(shares) == pytest.approx(1, abs=0.002)
    assert shares[0] == pytest.approx(2 / 3, abs=0.04)  # of equal noise the best weight is as the margin
    assert shares[1] == pytest.approx(1 / 3, abs=0.04)
    assert shares[2] < 0.04
    assert shares[3] == 0


def test_a_member_of_larger_logits_says_no_more_for_that(rng):
    labels = rng.integers(0, 8, 4000)
    logits = answers(rng, labels, 1.5, 1.5) * np.float32([1, 10])[:, None, None]
    assert fit(logits, labels) == pytest.approx([10 / 11, 1 / 11], abs=0.02)


def test_too_few_cells_or_members_that_all_do_harm_give_no_shares(rng):
    labels = rng.integers(0, 8, member_shares.FEWEST - 1)
    assert fit(answers(rng, labels, 3.0, 0.0), labels) is None
    labels = rng.integers(0, 8, 1000)
    assert fit(answers(rng, labels, -2.0, -2.0), labels) is None
    assert fit(np.zeros((2, 0, 8), np.float32), np.zeros(0, np.int64)) is None


@pytest.mark.parametrize(
    ("fitted", "shares", "told"),
    [
        (None, [0.5, 0.5], "Equal shares in the answer: 64 answers on validation cells give no better ones."),
        ([1.0, 0.0], [1.0, 0.0], "m1 has no share, but costs its time and size: package the others without it."),
        ([0.7, 0.3], [0.7, 0.3], "(m1) 0.300."),
    ],
)
def test_what_the_shares_are_worth_is_told(here, monkeypatch, capsys, fitted, shares, told):  # noqa: F811
    def process(arguments, *, env, **_):
        # Who packages may hold the GPU's memory; JAX would see it past CUDA's variable.
        assert (env["CUDA_VISIBLE_DEVICES"], env["JAX_PLATFORMS"]) == ("-1", "cpu")
        np.savez(json.loads(arguments[-1])["out"], logits=np.zeros((2, 64, 8)), labels=np.zeros(64, np.int64))
        return subprocess.CompletedProcess(arguments, 0)

    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(member_shares.subprocess, "run", process)
    monkeypatch.setattr(member_shares, "fit", lambda *_: fitted)
    assert shares_of(open_members(["m0", "m1"])) == shares
    assert capsys.readouterr().err.replace("\n", " ").strip().endswith(told)


def test_members_answer_on_validation_cells_that_none_was_trained_on(here, tmp_path):  # noqa: F811
    runs = open_members(["m0", "m1"])
    cells, split = cells_of_run(runs[0])
    logits, labels = measure(runs)
    count = len(split.validation)
    assert logits.shape == (2, 2 * count, 8)
    np.testing.assert_array_equal(labels, np.tile(cells.labels[split.validation], 2))
    for run, came in zip(runs, logits, strict=True):
        clean = Predictor(run.weights_path, views=1).logits(cells.images[split.validation])
        np.testing.assert_allclose(came[:count], clean, rtol=1e-3, atol=1e-3)
        assert np.abs(came[count:] - clean).max() > 0.1  # perturbed
    other = shutil.copytree(runs[1].folder, tmp_path / "other")
    seen = split.validation[:3]
    known = dataclasses.replace(split, validation=split.validation[3:], train=np.append(split.train, seen))
    known.save(other / "split.npz")
    _, labels = measure([runs[0], type(runs[1])(other)])
    np.testing.assert_array_equal(labels, np.tile(cells.labels[split.validation[3:]], 2))
    assert set(Split.load(other / "split.npz").train) > set(seen)


def test_the_zip_holds_the_shares_that_another_process_found(here, monkeypatch):  # noqa: F811
    def by_size(logits, labels):
        assert len(labels) == logits.shape[1] > 10
        sizes = np.abs(logits).mean((1, 2))
        return [float(size) for size in sizes / sizes.sum()]

    monkeypatch.setattr(member_shares, "fit", by_size)
    wanted = by_size(*measure(open_members(["m0", "m2"])))
    staged = []

    def stop(folder, *_):
        staged.append(weights.load(folder / "weights.npz")[1])
        raise KeyboardInterrupt

    monkeypatch.setattr(packaging, "write_zip", stop)
    with pytest.raises(KeyboardInterrupt):
        packaging.package("m0", "m2", rows=16, team="us")
    (meta,) = staged
    assert meta["shares"] == pytest.approx(wanted, abs=0.002)
    assert wanted != pytest.approx([0.5, 0.5], abs=0.02)


def test_where_the_members_cannot_be_asked_a_sentence_says_so(here, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(member_shares, "PROCESS", "build.no_such_module")
    told = r"could not be asked on the validation cells of run m0 \(exit code 1\): "
    with pytest.raises(UserError, match=f"{told}.*no_such_module"):
        shares_of(open_members(["m0", "m1"]))
    monkeypatch.undo()
    monkeypatch.chdir(here)
    runs = open_members(["m0", "m1"])
    broken = type(runs[1])(shutil.copytree(runs[1].folder, tmp_path / "broken"))
    broken.weights_path.write_bytes(b"none")
    with pytest.raises(UserError, match=f"{told}The weights file .*broken"):
        shares_of([runs[0], broken])
    assert shares_of(open_members(["m0"])) == [1.0]


def test_an_ensemble_answers_with_its_members_shares(here, tmp_path, images):  # noqa: F811
    paths = [here / "runs" / f"m{number}" / "weights.npz" for number in (0, 2)]
    ensemble.join(paths, tmp_path / "w.npz", {}, shares=[0.2, 0.6])
    alone = [Predictor(path).logits(images) for path in paths]
    together = Predictor(tmp_path / "w.npz").logits(images)
    np.testing.assert_allclose(together, 0.25 * alone[0] + 0.75 * alone[1], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("shares", [[1.0], [0.5, -0.5], [0, 0], "ab", 3])
def test_shares_that_are_none_are_refused(here, tmp_path, shares):  # noqa: F811
    paths = [here / "runs" / f"m{number}" / "weights.npz" for number in (0, 2)]
    ensemble.join(paths, tmp_path / "w.npz", {"shares": shares})
    with pytest.raises(weights.WeightsError, match="does not say which network it holds"):
        Predictor(tmp_path / "w.npz")
