"""A sweep's question: which runs it consists of, and which questions are the same."""

import dataclasses

import pytest
from cell_files import sentence

from build.errors import UserError
from build.recipes import find
from build.sweep.plan import Asked, Spot, spots, task_of

PODIUM, SMOKE = find("podium"), find("smoke")
ASKED = Asked((PODIUM, SMOKE), "cells.npz", seeds=2, folds=3, members=2)


def test_an_arm_is_tried_at_every_seed_fold_and_member_and_seeds_are_outside():
    found = spots(ASKED)
    assert len(found) == len(set(found)) == 2 * 3 * 2
    assert found[:3] == [Spot(0, 0, 0), Spot(0, 0, 1), Spot(0, 1, 0)]
    assert [spot.seed for spot in found] == [0] * 6 + [1] * 6
    assert spots(Asked((PODIUM,), "cells.npz")) == [Spot(0, 0, 0)]


def test_a_task_is_the_recipe_with_its_fold_and_member():
    task = task_of(ASKED, PODIUM, Spot(1, 2, 1))
    assert task.recipe == dataclasses.replace(PODIUM, folds=3, fold=2, member=1)
    assert (task.seed, task.data, task.rows, task.judge) == (1, "cells.npz", 256, True)
    whole = Asked((PODIUM,), "cells.npz", judge=False)
    assert task_of(whole, PODIUM, Spot(0, 0, 0)).recipe == PODIUM  # a run of `train` counts
    assert not task_of(whole, PODIUM, Spot(0, 0, 0)).judge


def test_spots_are_told_by_what_there_are_several_of():
    assert Spot(1, 2, 0).text(ASKED) == "seed 1, fold 3/3, member 0"
    assert Spot(1, 0, 0).text(Asked((PODIUM,), "cells.npz")) == "seed 1"


def test_the_same_question_has_the_same_folder_and_every_other_one_another():
    assert ASKED.id("a") == dataclasses.replace(ASKED, engine="plain").id("a")
    others = [
        ASKED.id("b"),
        *(
            dataclasses.replace(ASKED, **change).id("a")
            for change in (
                {"seeds": 3},
                {"folds": 4},
                {"members": 1},
                {"rows": 8},
                {"judge": False},
                {"search": "dropout=uniform(0,1)", "trials": 2},
                {"recipes": (PODIUM,)},
                {"recipes": (dataclasses.replace(PODIUM, epochs=3), SMOKE)},
            )
        ),
    ]
    assert len({ASKED.id("a"), *others}) == 1 + len(others)
    unjudged = dataclasses.replace(ASKED, judge=False)
    assert unjudged.id("a") == dataclasses.replace(unjudged, rows=8).id("a")  # nothing is asked about them
    assert ASKED.id("a").startswith("podium+smoke-")


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"recipes": ()}, "at least one, got none"),
        ({"recipes": (PODIUM, PODIUM)}, "got podium, podium"),
        ({"recipes": (PODIUM, find("podium-long"))}, "name podium, podium-lite-160, and --pack"),
        ({"folds": 1}, "needs 2 folds or more"),
        ({"trials": 3}, "both --search"),
        ({"search": "dropout=uniform(0,1)"}, "both --search"),
    ],
)
def test_what_is_no_question_is_refused(change, phrase):
    with pytest.raises(UserError) as caught:
        dataclasses.replace(ASKED, **change)
    assert phrase in sentence(caught)
