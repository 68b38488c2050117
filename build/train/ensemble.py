"""A recipe that names others: they are trained one after another on one split, and `package` puts them into one zip.

    run = train(find("podium-long"), prepared, seed=0)                  # run.facts["members"]: the IDs of the runs that it trained
    run = train(run.recipe, prepared, seed=0, resume=run)               # after Ctrl-C: goes on with the member that was stopped

The ensemble is a run folder without weights; its members are runs like any other. Networks that were trained alike err alike, so
different ones are worth more (figures: LOG.md, "Networks of several settings, averaged").
"""

import dataclasses
from collections import Counter
from pathlib import Path

from build import standing
from build.console import console
from build.errors import UserError
from build.recipe import Recipe
from build.recipes import find
from build.runs import Run, RunInterrupted
from build.train import fit, hardware, pretrained, record, settings
from build.train.hosts import Hosts

SPLIT = ("validation_share", "test_share", "folds", "fold")
OWN = ("name", "ensemble", "minutes", "epochs", "member", *SPLIT)
"""Fields that mean something in an ensemble's recipe; all others are those of the recipes that it names."""


def foreign_field(recipe: Recipe, name: str) -> UserError:
    """What is said where an ensemble is given a field that only the recipes have that it names."""
    return UserError(
        f"The recipe {recipe.name} is an ensemble of {', '.join(recipe.ensemble)}, whose settings are their own: {name} cannot be set "
        "here; write a recipe of your own in build/recipes.py."
    )


def parts(recipe: Recipe) -> list[Recipe]:
    """The recipes that an ensemble trains: with its split, its largest number of epochs and a share each of its minutes.

    The minutes are shared out in proportion to those of the recipes themselves, equally where one of them has no limit. A recipe that is
    named again is another member: other first weights, orders and augmentations. Raises UserError where a name is none, or of an
    ensemble, or where the recipe sets a field that an ensemble does not have.
    """
    plain = Recipe(name=recipe.name)
    names = [field.name for field in dataclasses.fields(Recipe) if field.name not in OWN]
    if foreign := [name for name in names if getattr(recipe, name) != getattr(plain, name)]:
        raise foreign_field(recipe, foreign[0])
    shared = {name: getattr(recipe, name) for name in ("epochs", *SPLIT)}
    named, seen, made = [find(name) for name in recipe.ensemble], Counter(), []
    own = [part.minutes for part in named]
    share = [minutes / sum(own) for minutes in own] if all(own) else [1 / len(own)] * len(own)
    for part, portion in zip(named, share, strict=True):
        if part.ensemble:
            raise UserError(f"The recipe {recipe.name} names {part.name}, which is an ensemble; name its recipes.")
        member = recipe.member + seen[part.name]
        made.append(dataclasses.replace(part, minutes=recipe.minutes * portion, member=member, **shared))
        seen[part.name] += 1
    return made


def train(
    recipe: Recipe,
    prepared,
    *,
    seed: int,
    resume: Run | None = None,
    epochs: int | None = None,
    root: Path = Path("runs"),
    hosts: Hosts | None = None,
) -> Run:
    """Train the members of `recipe` one after another and return the ensemble's run folder; arguments and errors as of fit.train."""
    recipe = settings.with_epochs(recipe, epochs, resume)
    if hosts and hosts.count > 1:
        raise UserError(
            f"The members of {recipe.name} are trained on one host; train {', '.join(recipe.ensemble)} each by itself and name the "
            "runs to package."
        )
    asked, machine = parts(recipe), hardware.find()
    begun = len(resume.facts.get("members") or ()) if resume else 0
    for number, part in enumerate(asked):
        settings.check(part, seed)
        if number >= begun:  # what cannot be had is known before the members in front of it are trained
            decision = hardware.decide(part, machine)
            pretrained.fetch(part.network, decision.size, decision.weights)
    record.check_split(prepared.split)
    if resume:
        record.check_same(resume, recipe, prepared, seed)
    run = resume or record.create(root, recipe, prepared, seed, members=[])
    with run.locked():
        run.update(status=standing.RUNNING)
        run.become_latest()
        try:
            for number, part in enumerate(asked):
                _train_member(run, number, part, prepared, seed)
        except KeyboardInterrupt:
            run.update(status=standing.INTERRUPTED)
            raise RunInterrupted(run) from None
        except Exception:  # passed on: a run that broke off must not go on as "running"
            run.update(status=standing.FAILED)
            raise
        finally:
            run.become_latest()
        run.update(status=standing.FINISHED)
    return run


def _train_member(run: Run, number: int, part: Recipe, prepared, seed: int) -> None:
    """Train member `number` of the ensemble `run`, or go on with it; one that was stopped in its first epoch is begun anew."""
    members = run.facts["members"]
    known = Run.open(run.folder.parent / members[number]) if number < len(members) else None
    told = f"Member {number + 1} of {len(run.recipe.ensemble)}: {part.name}"
    if known and known.facts.get("status") in standing.ENDED:
        console.print(f"{told}, trained already as run {known.id}.", markup=False)
        return
    console.print(f"{told}.", style="bold", markup=False)

    def after_epoch(member: Run, _history: list[dict]) -> bool:
        if len(members) == number:
            members.append(member.id)
            run.update(members=members)
        return False

    recipe = known.recipe if known else part  # the named recipe may have changed since
    try:
        # Whoever is killed meanwhile goes on with the ensemble, which stays the latest.
        root = run.folder.parent
        fit.train(recipe, prepared, seed=seed, resume=known, root=root, watch=after_epoch, latest=False)
    finally:
        hardware.release()
