"""Recipes: reading and writing them, finding them by name, refusing what this version does not know."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from build.errors import UserError
from build.recipe import Recipe
from build.recipes import RECIPES, find
from build.runs import Run
from submission.contract import IMAGE_SHAPE

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_a_recipe_comes_back_from_json_as_it_was(recipe):
    back = Recipe.from_json(recipe.to_json())
    assert back == recipe
    assert hash(back) == hash(recipe)  # tuples again, not lists


def test_json_holds_every_field_on_a_line_of_its_own():
    text = find("podium").to_json()
    assert json.loads(text).keys() == {field.name for field in dataclasses.fields(Recipe)}
    for field in dataclasses.fields(Recipe):
        assert f'\n  "{field.name}": ' in text


@pytest.fixture
def documents() -> str:
    """README.md and docs/*.md."""
    return "\n".join(path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))))


def test_the_table_of_recipes_names_each_of_them_with_its_minutes(documents):
    (table,) = re.findall(r"^\| recipe \| network and .*\n\|[-:| ]+\n((?:\|.*\n)+)", documents, re.MULTILINE)
    told = {}
    for row in table.splitlines():
        first, *_, last = row.strip("| ").split(" | ")
        minutes = re.fullmatch(r"(\d+) minutes", last)
        told |= dict.fromkeys(re.findall(r"`([^`]+)`", first), float(minutes[1]) if minutes else 0.0)
    assert told == {name: recipe.minutes for name, recipe in RECIPES.items()}


def test_the_gates_are_those_that_the_documents_name():
    recipe = Recipe("any")
    gates = [100 * recipe.minimum_held_out, 100 * recipe.minimum_perturbed, recipe.maximum_zip_mb]
    gates.append(recipe.maximum_seconds_per_1000)
    readme = " ".join((ROOT / "README.md").read_text().split())
    told = re.findall(
        r"at least (\d+) % of held-out and (\d+) % of mildly perturbed cells, has at most (\d+) MB and takes at most (\d+) s for 1,000",
        readme,
    )
    assert [[float(number) for number in numbers] for numbers in told] == [gates]
    table = (ROOT / "docs/commands.md").read_text().partition("| gate | passed by |")[2].partition("\n\n")[0]
    assert [float(number) for number in re.findall(r"at (?:least|most) (\d+) ", table)] == gates
    (slower,) = re.findall(r"`podium-gpu`: (\d+) s", table)
    assert float(slower) == find("podium-gpu").maximum_seconds_per_1000


def test_every_recipe_ends_at_the_size_of_the_contract_s_images():
    code = (
        "import json, submission.contract as c; c.IMAGE_SHAPE = (160, 192, 3);"
        "from build.recipes import RECIPES; print(json.dumps([r.resolutions[-1][0] for r in RECIPES.values()]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == {192}
    assert {recipe.resolutions[-1][0] for recipe in RECIPES.values()} == {max(IMAGE_SHAPE[:2])}


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(
        UserError, match=r"'podum'.*podium, podium-lite, podium-lite-160, podium-long, podium-gpu, report-convnext"
    ) as error:
        find("podum")
    assert "\n" not in str(error.value)


def test_a_run_whose_recipe_has_other_fields_says_so_in_one_sentence(tmp_path):
    run = Run.create(tmp_path, find("podium"))
    fields = json.loads(run.recipe_path.read_text())
    run.recipe_path.write_text(json.dumps(fields | {"sharpness": 3}))
    with pytest.raises(UserError, match=rf"{run.id}.*sharpness.*commit") as error:
        _ = run.recipe
    assert "\n" not in str(error.value)


def test_a_run_whose_recipe_is_no_json_says_so(tmp_path):
    run = Run.create(tmp_path, find("podium"))
    run.recipe_path.write_text('{"name": "podi')
    with pytest.raises(UserError, match=run.id):
        _ = run.recipe


def test_the_settings_of_the_report_are_those_that_it_gives():
    recipe = find("report-convnext")
    assert (recipe.optimizer, recipe.size, recipe.weights, recipe.fine_tune_layers) == ("lion", "large", "imagenet", 70)
    assert (recipe.balance, recipe.randaugment_operations, recipe.randaugment_magnitude) == ("both", 2, 0.2)
    assert 0.3 <= recipe.dropout <= 0.4
    assert 10 <= recipe.patience <= 20
