"""A suite in a file of the user's own: it takes part like ours, and what it does wrong is one sentence."""

import numpy as np
import pytest
from test_suites import USER_SUITE, cells, make

from build.errors import UserError
from build.score.suite_checksums import definition
from build.score.suites import load, materialise


def test_a_user_adds_a_suite_in_one_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(USER_SUITE)
    made = make([path, "held-out"], tmp_path / "cache")
    assert [one.key for one in made][:2] == ["tints.tint.1", "tints.tint.2"]
    assert made[0].operations == ("channel shift",)
    images, _ = cells()
    shift = np.load(made[0].images_path).astype(int) - images[made[0].rows]
    # Each image has a draw of its own.
    assert {tuple(np.flatnonzero(one.any(axis=(0, 1)))) for one in shift} == {(0,), (1,), (2,)}


def test_a_file_may_have_dataclasses_whose_annotations_are_text(tmp_path):
    path = tmp_path / "mine.py"
    draws = "from dataclasses import dataclass\n@dataclass\nclass Draws:\n    shift: int = 3\n"
    path.write_text(f"from __future__ import annotations\n{draws}{USER_SUITE}")
    assert load(path).name == "tints"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import nothing_of_this_name", "fails on import: ModuleNotFoundError"),
        ("import sys; sys.exit(3)", "fails on import: SystemExit: 3"),
        ("SUITES = 3", "defines no SUITE"),
        (USER_SUITE.replace('"tints"', '"basic"'), "give it another name"),
        (USER_SUITE.replace('"tints"', f'"{"t" * 27}"'), "a name of at most 26 characters"),
        (USER_SUITE.replace('operations=("channel shift",)', 'operations="channel shift"'), "with a comma"),
    ],
)
def test_a_user_suite_that_does_not_work_is_one_sentence(tmp_path, source, sentence):
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(UserError, match=sentence):
        load(path)


def test_a_process_and_a_package_of_the_user_s_own_are_found_or_told(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    call = 'Corruption("far", None, (1, 2, 3, 4, 5), process="{}", needs="cv2")'
    path.write_text(
        "from build.score.corruptions.definition import Corruption, Suite\n"
        f"SUITE = Suite('far', ({call.format('a_process_of_mine')},))\n"
    )
    with pytest.raises(UserError, match="names the process a_process_of_mine, which Python does not find"):
        definition(load(path))
    (tmp_path / "a_process_of_mine.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    first = definition(load(path))
    (tmp_path / "a_process_of_mine.py").write_text("x = 2\n")
    assert definition(load(path)) != first


def test_two_files_with_one_name_are_one_sentence_and_one_file_named_twice_is_one_suite(tmp_path):
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    for path in (first, second):
        path.write_text(USER_SUITE)
    with pytest.raises(UserError, match=r"a\.py and .*b\.py both have a suite named 'tints'"):
        make([first, second], tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    (tmp_path / "sub").mkdir()
    made = make([first, tmp_path / "sub" / ".." / "a.py"], tmp_path / "cache")
    assert len({one.key for one in made}) == len(made) == 5


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('too much')", "ValueError: too much"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("return image / 255", "AssertionError: tint: pixels became float64"),
        ("return None", "AssertionError: tint: the result is a NoneType, no array"),
        ("image[0] = 0; return image", "ValueError: assignment destination is read-only"),
    ],
)
def test_a_user_s_corruption_that_fails_is_one_sentence_and_the_images_stay_as_they_are(tmp_path, body, reason):
    path = tmp_path / "mine.py"
    path.write_text(USER_SUITE.replace("    tinted = image", f"    {body}\n    tinted = image"))
    images, labels = cells()
    before = images.copy()
    with pytest.raises(UserError) as raised:
        materialise([path], images, labels, seed=0, rows_per_condition=8, cache=tmp_path / "cache")
    assert str(raised.value).startswith(f"The corruption 'tint' of {path} fails at severity 1 ({reason})")
    assert np.array_equal(images, before)
