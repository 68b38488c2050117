"""A recipe that names others: its members, Ctrl-C and going on, one zip of all, and what is refused."""

import dataclasses

import pytest
import toy_cells
from toy_cells import RECIPE

from build import members, recipes
from build.errors import UserError
from build.recipe import Recipe
from build.recipes import find
from build.runs import Run, RunInterrupted
from build.train import fit, pretrained, record
from build.train.ensemble import parts, train
from submission import ensemble as shipped
from submission import weights

TOY = Recipe(name="toys", ensemble=("toy", "wide", "toy"), epochs=1)


cells = toy_cells.cells


@pytest.fixture(autouse=True)
def named(monkeypatch):
    """Two toys that the ensemble can name."""
    for recipe in (RECIPE, dataclasses.replace(RECIPE, name="wide", filters=12), TOY):
        monkeypatch.setitem(recipes.RECIPES, recipe.name, recipe)


def stopping_in(monkeypatch, member: int, epoch: int) -> None:
    """Ctrl-C in that epoch of that training, both counted from 0."""
    step, begin, trainings = fit.Training._steps, fit.Training.__init__, []

    def steps(self, stream, number, *rest):
        if (len(trainings) - 1, number) == (member, epoch):
            self.stop.wished = True
        return step(self, stream, number, *rest)

    def init(self, *rest):
        trainings.append(self)
        begin(self, *rest)

    monkeypatch.setattr(fit.Training, "_steps", steps)
    monkeypatch.setattr(fit.Training, "__init__", init)


def test_podium_long_is_podium_and_podium_lite_160_within_131_minutes():
    podium, lite = parts(find("podium-long"))
    assert dataclasses.replace(find("podium"), minutes=43.0) == podium
    assert dataclasses.replace(find("podium-lite-160"), minutes=88.0, epochs=60) == lite


def test_a_recipe_named_again_is_another_member_and_minutes_are_shared_out():
    recipe = dataclasses.replace(TOY, minutes=6.0, epochs=7, member=3, test_share=0.2)
    assert [(part.name, part.member) for part in parts(recipe)] == [("toy", 3), ("wide", 3), ("toy", 4)]
    assert {(part.minutes, part.epochs, part.test_share) for part in parts(recipe)} == {(2.0, 7, 0.2)}


def test_minutes_are_shared_out_in_proportion_to_those_of_the_recipes(monkeypatch):
    for name, minutes in (("toy", 10.0), ("wide", 20.0)):
        monkeypatch.setitem(recipes.RECIPES, name, dataclasses.replace(RECIPE, name=name, minutes=minutes))
    assert [part.minutes for part in parts(dataclasses.replace(TOY, minutes=6.0))] == pytest.approx([1.5, 3.0, 1.5])
    assert [part.minutes for part in parts(TOY)] == [0.0, 0.0, 0.0]
    monkeypatch.setitem(recipes.RECIPES, "wide", dataclasses.replace(RECIPE, name="wide", minutes=0.0))
    assert [part.minutes for part in parts(dataclasses.replace(TOY, minutes=6.0))] == [2.0, 2.0, 2.0]


def test_it_trains_every_member_and_stands_for_them_where_one_goes_on_or_packages(cells, tmp_path, monkeypatch):
    step, seen = fit.Training._steps, set()

    def steps(self, *given):
        seen.add(Run.open("latest", tmp_path).recipe.name)
        return step(self, *given)

    monkeypatch.setattr(fit.Training, "_steps", steps)
    run = train(TOY, cells, seed=0, root=tmp_path)
    assert seen == {"toys"}  # while a member trains, the ensemble is what one would go on with
    assert run.facts["status"] == "finished"
    assert Run.open("latest", tmp_path) == run
    opened = members.open_members(["latest"], tmp_path)
    assert [(one.recipe.name, one.recipe.member) for one in opened] == [("toy", 0), ("wide", 0), ("toy", 1)]
    assert {len(one.history) for one in opened} == {1}
    shipped.join([one.weights_path for one in opened], tmp_path / "w.npz", {})
    found = [arrays for arrays, _ in shipped.split(*weights.load(tmp_path / "w.npz"))]
    assert len({arrays["logits/bias"].tobytes() for arrays in found}) == 3
    with pytest.raises(UserError, match="named twice"):
        members.open_members(["latest", opened[1].id], tmp_path)
    with pytest.raises(UserError, match=f"{run.id} is an ensemble.*{opened[0].id}, {opened[1].id}, {opened[2].id}"):
        members.open_network("latest", tmp_path)


def test_after_ctrl_c_the_same_members_come_out_to_the_bit(cells, tmp_path, monkeypatch, capsys):
    recipe = dataclasses.replace(TOY, ensemble=("toy", "wide"), epochs=2)
    straight = train(recipe, cells, seed=0, root=tmp_path / "straight")
    with monkeypatch.context() as patch:
        stopping_in(patch, member=1, epoch=1)
        with pytest.raises(RunInterrupted, match=r"--resume .*-toys-") as caught:
            train(recipe, cells, seed=0, root=tmp_path / "stopped")
    run = caught.value.run
    assert run == Run.open("latest", tmp_path / "stopped")
    assert run.facts["status"] == "interrupted"
    assert "--resume" not in capsys.readouterr().err  # of the member: who followed that would package it alone
    begun = members.open_members([run.id], run.folder.parent)
    assert [len(one.history) for one in begun] == [2, 1]
    monkeypatch.setitem(recipes.RECIPES, "wide", dataclasses.replace(RECIPE, name="wide", filters=16))  # since then
    assert train(run.recipe, cells, seed=0, resume=run) == run
    assert members.open_members([run.id], run.folder.parent) == begun
    assert run.facts["status"] == "finished"
    for mine, theirs in zip(begun, members.open_members([straight.folder]), strict=True):
        assert mine.weights_path.read_bytes() == theirs.weights_path.read_bytes()
    trained = toy_cells.runs(run.folder.parent)
    train(run.recipe, cells, seed=0, resume=run)  # nothing is left to do
    assert toy_cells.runs(run.folder.parent) == trained


def test_a_member_stopped_in_its_first_epoch_is_begun_anew(cells, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping_in(patch, member=1, epoch=0)
        with pytest.raises(RunInterrupted) as caught:
            train(dataclasses.replace(TOY, ensemble=("toy", "wide")), cells, seed=0, root=tmp_path)
    run = caught.value.run
    assert Run.open("latest", tmp_path) == run
    assert len(run.facts["members"]) == 1
    train(run.recipe, cells, seed=0, resume=run)
    assert [one.recipe.name for one in members.open_members([run.id], tmp_path)] == ["toy", "wide"]


def test_weights_that_cannot_be_had_are_told_before_the_members_in_front_are_trained(cells, tmp_path, monkeypatch):
    def refuse(*_):
        raise UserError("The ImageNet weights could not be downloaded.")

    monkeypatch.setattr(pretrained, "download", refuse)
    resnet = dataclasses.replace(RECIPE, name="wide", network="resnet50", weights="imagenet")
    monkeypatch.setitem(recipes.RECIPES, "wide", resnet)
    with pytest.raises(UserError, match="could not be downloaded"):
        train(TOY, cells, seed=0, root=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_failed_member_is_said_and_the_others_are_kept(cells, tmp_path, monkeypatch):
    once = fit.train

    def fail_at_wide(recipe, *rest, **options):
        if recipe.name == "wide":
            raise UserError("no room")
        return once(recipe, *rest, **options)

    monkeypatch.setattr(fit, "train", fail_at_wide)
    with pytest.raises(UserError, match="no room"):
        train(TOY, cells, seed=0, root=tmp_path)
    run = Run.open("latest", tmp_path)
    assert (run.recipe.name, run.facts["status"], len(run.facts["members"])) == ("toys", "failed", 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"zoom": 0.6}, "toys is an ensemble of toy, wide, toy, whose settings are their own: zoom cannot be set"),
        ({"ensemble": ("toy", "toys")}, "names toys, which is an ensemble"),
        ({"ensemble": ("toy", "tyo")}, "no recipe named 'tyo'"),
        ({"minutes": -1.0}, "field minutes must be at least 0"),
    ],
)
def test_what_cannot_be_an_ensemble_is_refused_before_anything_is_written(cells, tmp_path, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        train(dataclasses.replace(TOY, **changes), cells, seed=0, root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_training_takes_no_ensemble(cells, tmp_path):
    with pytest.raises(UserError, match=r"toys is an ensemble of toy, wide, toy.*one network"):
        fit.train(TOY, cells, seed=0, root=tmp_path)


def test_it_is_not_resumed_with_other_cells_or_another_seed(cells, tmp_path):
    run = record.create(tmp_path, TOY, cells, 0, members=[])
    with pytest.raises(UserError, match=f"{run.id} was trained with another data"):
        train(TOY, toy_cells.prepared(seed=1), seed=0, resume=run)
    with pytest.raises(UserError, match=f"{run.id} was trained with another seed"):
        train(TOY, cells, seed=1, resume=run)
    with pytest.raises(UserError, match="--epochs"):
        train(TOY, cells, seed=0, resume=run, epochs=2)
