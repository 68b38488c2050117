"""train and package: from data to dist/submission.zip."""

import shlex
from collections.abc import Collection
from pathlib import Path

import click

from build.cli.options import (
    FiniteRange,
    data_option,
    engine_option,
    explicitly_given,
    refuse_ignored,
    rows_option,
    seed_option,
    suites_option,
    team_option,
)
from build.cli.showing import show_data
from build.console import console, muffled
from build.errors import UserError
from build.gpu_troubles import has_gpu

SYNTHETIC_NOTICE = (
    "Training on synthetic cells, which this kit draws itself (--data takes yours). They show that everything works; "
    "their scores say nothing about real cells."
)

OPTIONS = {"teachers": "teacher"}
"""Options that are called otherwise than the field that they override."""


@click.command(short_help="Train a recipe.")
@data_option
@click.option(
    "--recipe",
    metavar="NAME",
    help="A name from build/recipes.py; default: podium, on a GPU podium-gpu (smoke on synthetic cells).",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Overrides the recipe's number of epochs.")
@seed_option
@click.option("--resume", metavar="RUN", help="Go on with a run, by its own settings: its ID, its folder, or latest.")
@click.option(
    "--weights",
    metavar="W",
    help="auto, none, imagenet, drawn (learned from drawn images, part of the repository) or a file of weights; overrides the recipe's.",
)
@click.option(
    "--size",
    metavar="S",
    help="A ConvNeXt size, atto ... xlarge, an EfficientNet-Lite size, lite0 ... lite2, or auto; overrides the recipe's.",
)
@click.option(
    "--minutes", type=FiniteRange(min=0), help="Time budget of the training, 0: none; overrides the recipe's."
)
@click.option(
    "--teacher",
    "teachers",
    metavar="RUN",
    multiple=True,
    help="Learn from this run (or weights file) too; may be repeated.",
)
@click.option(
    "--member",
    type=click.IntRange(min=0, max=4000),
    help="Number of an ensemble's member: other random draws on the same split.",
)
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="Overrides any field of the recipe, by its name in build/recipe.py; may be repeated. name=X names the variant.",
)
@click.pass_context
def train(
    context: click.Context,
    data: str,
    recipe: str | None,
    epochs: int | None,
    seed: int,
    resume: str | None,
    weights: str | None,
    size: str | None,
    minutes: float | None,
    teachers: tuple[str, ...],
    member: int | None,
    settings: tuple[str, ...],
) -> None:
    """Train a recipe; leaves runs/ID/ with the recipe as used, split, history and weights."""
    import dataclasses

    from build.data.curate import counted
    from build.data.prepare import prepare
    from build.data.read import is_synthetic
    from build.recipe_fields import read_settings
    from build.recipes import default, find
    from build.runs import LATEST, Run

    if weights == "":
        raise UserError(
            "--weights wants auto, none, imagenet, drawn or a file, got nothing; leave it out for the recipe's."
        )
    run = Run.open(resume) if resume is not None else None
    given = {
        "weights": weights,
        "size": size,
        "minutes": minutes,
        "teachers": teachers or None,
        "member": member,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    set_fields = read_settings(settings)
    _refuse_twice(set_fields, changes.keys() | ({"epochs"} if epochs else set()))
    changes |= set_fields
    # "latest" will be this very run by the time it is resumed, so the ID is recorded.
    if "weights" in changes:
        changes["weights"] = _without_latest(changes["weights"])
    if "teachers" in changes:
        changes["teachers"] = tuple(
            Run.open(name).id if name == LATEST else _without_latest(name) for name in changes["teachers"]
        )
    explicit = explicitly_given(context)
    if run:
        own = {name: value for name, value in (("recipe", recipe), ("seed", seed)) if name in explicit}
        _refuse_others(run, changes | own, set_fields)
        chosen, seed = run.recipe, run.facts["seed"]
        # A file that was moved since may be named anew; its hash is compared.
        data = data if "data" in explicit else run.facts["data"]["source"]
    else:
        synthetic = is_synthetic(data)
        chosen = find(default(synthetic=synthetic, gpu=not synthetic and has_gpu()) if recipe is None else recipe)
        chosen = dataclasses.replace(chosen, **changes)
    if is_synthetic(data):
        console.print(SYNTHETIC_NOTICE)
    prepared = prepare(data, chosen, seed=seed)
    show_data(prepared)
    if left_out := counted(prepared.curation.dropped):
        console.print(
            f"Left out: {left_out} (`nox -s inspect -- --data {shlex.quote(data)}` shows them).", markup=False
        )

    with muffled():  # imports the framework: where it can, after the data was found to be good
        from build.train import ensemble, fit, hardware
        from build.train.hosts import joined

    refuse_ignored(chosen, changes)
    with joined() as hosts:
        with muffled():
            hardware.find()  # the first look at the devices is the talkative one
        module = ensemble if chosen.ensemble else fit
        run = module.train(chosen, prepared, seed=seed, resume=run, epochs=epochs, hosts=hosts)
    if hosts.chief:
        click.echo(run.folder)


@click.command(short_help="Compress, zip and judge: makes dist/submission.zip.")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--force", is_flag=True, help="Name the zip submission.zip although it misses a gate.")
@rows_option
@suites_option
@team_option
@engine_option
@click.option(
    "--hidden", metavar="N", type=click.IntRange(min=1), help="Images of the hidden set; default: the recipe's."
)
@click.option(
    "--time-limit",
    metavar="S",
    type=FiniteRange(min=1, max=10**7),
    help="Seconds that a job may take; default: the recipe's.",
)
def package(runs: tuple[str, ...], **options) -> int:
    """Compress, zip and judge RUN (default: the last); dist/submission.zip appears only if every gate is passed.

    Several runs become an ensemble in one zip: the logits of its members are averaged, each with the share that fits the
    first one's validation cells, as they are and as its recipe perturbs them; its recipe also says storage, views and gates.
    """
    from build.package import package as make

    return make(*(runs or ("latest",)), **options)


def _without_latest(path: str) -> str:
    """The path of a run's folder or weights file with the run's ID in the place of "latest"."""
    from build.runs import LATEST, Run

    parts = Path(path).parts
    if LATEST not in parts[1:]:
        return path
    at = parts.index(LATEST, 1)
    root = Path(*parts[:at])
    if not any(Run.each(root)):  # a folder of somebody's own
        return path
    return str(Path(root, Run.open(LATEST, root).id, *parts[at + 1 :]))


def _refuse_twice(set_fields: dict, given: Collection[str]) -> None:
    """UserError where --set names a field that an option of its own has said too."""
    for name in set_fields:
        if name in given:
            raise UserError(f"--set {name} and --{OPTIONS.get(name, name)} say the same thing; leave one of them out.")


def _refuse_others(run, given: dict, set_fields: Collection[str]) -> None:
    """UserError where an option of a resumed run asks for another setting than the run's own; set_fields: those by --set."""
    own = {"seed": run.facts["seed"], "recipe": run.recipe.name}
    for name, value in given.items():
        theirs = own[name] if name in own else getattr(run.recipe, name)
        if value != theirs:
            option = f"--set {name}" if name in set_fields else f"--{OPTIONS.get(name, name)}"
            raise UserError(
                f"Run {run.id} goes on by its own settings, {name} {theirs!r} and not {value!r}; leave {option} out, or train a new run."
            )
