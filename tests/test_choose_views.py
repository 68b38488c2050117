"""The number of views by the time measured, and what the zip then says."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from submissions import GOOD, model, pack

from build import views
from build.recipes import find
from build.score.held_out import HeldOut, Rows
from build.score.outcome import Log
from submission.contract import IMAGE_SHAPE
from submission.views import FEWER, Deadline

RECIPE = dataclasses.replace(find("smoke"), views=8, time_limit=600.0)
TIMED = dataclasses.replace(find("podium"), hidden_images=300, time_limit=180.0, maximum_seconds_per_1000=1000.0)


@pytest.mark.parametrize(
    ("rate", "startup", "images", "limit", "count"),
    [
        (1.0, 10, 5000, 600, 8),  # 10 + 8 * 5 = 50 of 150 s; never a second scale, though 90 would do
        (3.6, 10, 5000, 600, 4),  # 8 views would take 154
        (3.5, 10, 5000, 600, 8),  # exactly 150
        (10.0, 10, 5000, 600, 2),
        (3.6, 10, 500, 600, 8),
        (1.8, 10, 5000, 60, 1),
        (1000.0, 10, 5000, 600, 1),
        (0.0, 1, 5000, 600, 8),
        (1.0, 200, 5000, 600, 1),
    ],
)
def test_as_many_views_as_a_quarter_of_the_limit_holds(rate, startup, images, limit, count):
    assert views.largest(rate, startup, images=images, limit=limit) == count


def test_only_views_that_the_network_was_trained_with_are_averaged(monkeypatch, held):
    assert views.known(find("podium")) == [1, 2, 4, 8]
    assert views.known(dataclasses.replace(RECIPE, rotation=30.0)) == [1, 2, 4]
    assert views.known(dataclasses.replace(RECIPE, flip=False)) == [1]
    assert views.known(dataclasses.replace(find("podium"), augmenter="none")) == [1]
    assert views.known(dataclasses.replace(find("podium"), geometry_probability=0.0)) == [1, 2, 4]
    assert views.largest(0.001, 1, images=10, limit=600, possible=[1, 2, 4]) == 4
    monkeypatch.setattr(views, "judge", lambda *_, **__: pytest.fail("there is nothing to choose"))
    assert views.measured("x.zip", held, recipe=dataclasses.replace(RECIPE, flip=False), engine="plain") == 1
    monkeypatch.setattr(views, "IMAGE_SHAPE", (96, 64, 3))
    assert views.known(find("podium")) == [1, 2, 4]


def test_a_zip_of_several_views_knows_its_deadline():
    assert views.settings(RECIPE) == {"views": 8, "seconds": 420.0, "images": 5000}
    assert views.settings(dataclasses.replace(RECIPE, views=1)) == {"views": 1}


def test_a_rehearsal_that_had_no_time_for_all_views_is_told(capsys):
    def verdict(said: str, source: str = "ingestion") -> SimpleNamespace:
        return SimpleNamespace(outcome=SimpleNamespace(logs=[Log("prediction", source, "stderr", said)]))

    def job(images: int) -> str:
        """What a predictor of 8 views says in a job, each view of an image taking .02 s."""
        deadline, spent = Deadline(420.0, 8, expected=5000), 0.0
        for start in range(0, images, 64):
            batch = min(64, images - start)
            for _ in range(deadline.views(images - start)):
                deadline.spend(0.02 * batch, batch)
                spent += 0.02 * batch
            deadline.answered(batch)
        assert spent < 420
        return capsys.readouterr().err

    assert views.lowered(verdict("epoch 1"), RECIPE, chosen=True) == ""
    said = job(4778)
    assert said.count(FEWER) == 1
    told = views.lowered(verdict(said), RECIPE, chosen=True)
    assert "no time for all 8 views within 420 s" in told
    assert "smaller --time-limit" in told
    # A number that the recipe says stays, and its deadline would come earlier.
    assert "--time-limit" not in views.lowered(verdict(said), RECIPE, chosen=False)
    assert views.lowered(verdict(said, "probe-ingestion"), RECIPE, chosen=True) == ""


@pytest.fixture
def held(rng) -> HeldOut:
    images = rng.integers(0, 256, (40, *IMAGE_SHAPE), np.uint8)
    return HeldOut(Rows(images, np.arange(40)), np.arange(40) % 8, 0, "drawn")


@pytest.mark.parametrize(("seconds", "first", "count"), [(0.0, 0.0, 8), (1.0, 0.0, 4), (0.9, 2.4, 4), (0.0, 2.4, 8)])
def test_the_zip_is_timed_as_the_worker_runs_it(seconds, first, count, held, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    slow = GOOD.replace("import numpy as np", f"import time\nimport numpy as np\nFIRST = [{first}]").replace(
        "        return",
        f"        time.sleep({seconds} * len(X) / 40 + sum(FIRST))\n        FIRST.clear()\n        return",
    )
    zip_path = pack(tmp_path / "s.zip", {"model.py": slow})
    # 40 images in 1.0 s are 25 s per 1,000: with 300 of them one view takes 7.5 s of the 45 that are to be had. What the first
    # call takes besides is paid once, whatever their number.
    assert views.measured(zip_path, held, recipe=TIMED, engine="plain") == count
    assert f"Views: {count}. One takes" in capfd.readouterr().err


def test_a_zip_that_fails_gets_one_view(held, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zip_path = pack(tmp_path / "s.zip", {"model.py": model("raise ValueError('no')")})
    assert views.measured(zip_path, held, recipe=TIMED, engine="plain") == 1


def test_no_more_views_than_the_gate_of_time_lets_pass_and_than_every_network_knows(held, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    slow = GOOD.replace("import numpy as np", "import time\nimport numpy as np").replace(
        "        return", "        time.sleep(0.4 * len(X) / 40)\n        return"
    )
    zip_path = pack(tmp_path / "s.zip", {"model.py": slow})  # 10 s per 1,000 images with one view
    strict = dataclasses.replace(TIMED, maximum_seconds_per_1000=30.0)
    assert views.measured(zip_path, held, recipe=strict, engine="plain") == 2
    other = dataclasses.replace(TIMED, flip=False)
    assert views.measured(zip_path, held, recipe=TIMED, others=[TIMED, other], engine="plain") == 1
