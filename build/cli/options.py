"""Options that several commands share, so that they mean the same everywhere."""

import functools
import math
from collections.abc import Callable, Collection

import click
from click.core import ParameterSource

from build.errors import UserError
from build.recipe import Recipe


class FiniteRange(click.FloatRange):
    """A finite number within limits; click's own range takes inf, and NaN, which no comparison with a limit refuses."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; a usage error where it is none, not finite or out of range."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


data_option = click.option(
    "--data",
    metavar="SOURCE",
    default="synthetic",
    show_default=True,
    help="An .npz with images and labels, a folder with one folder of images for each class, a .csv of files and classes, "
    "medmnist:bloodmnist[@64|@128|@224], or synthetic[:N].",
)


def listed(_context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Callback: the names in an option's "A,B", None where it is not given; UserError where it holds none: an empty one is no default."""
    names = None if value is None else tuple(filter(None, (name.strip() for name in value.split(","))))
    if names == ():
        raise UserError(
            f"Expected names after {option.opts[0]}, such as A,B, got {value!r}; leave it out for its default."
        )
    return names


def explicitly_given(context: click.Context) -> set[str]:
    """Names of the parameters that the command line gives, and not a default."""
    return {name for name in context.params if context.get_parameter_source(name) != ParameterSource.DEFAULT}


def refuse_ignored(recipe: Recipe, names: Collection[str]) -> None:
    """UserError where a recipe would record a field of `names`, and its training do nothing by it; imports the framework."""
    from build.train.ensemble import OWN, foreign_field
    from submission.network import NETWORKS

    for name in names:
        if recipe.ensemble and name not in OWN:
            raise foreign_field(recipe, name)
        having = [network for network, settings in NETWORKS.items() if name in settings]
        if having and recipe.network in NETWORKS and recipe.network not in having:
            raise UserError(
                f"The network {recipe.network} has no setting {name}; leave it out, or choose one of {', '.join(having)}."
            )


seed_option = click.option(
    "--seed",
    # With 4,000 members' strides (build/train/fit.py) still below keras' 2**32.
    type=click.IntRange(min=0, max=99_999_999),
    default=0,
    show_default=True,
    help="Same seed: same random draws, so the same result; but how many epochs a time limit holds depends on the machine.",
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "bwrap", "docker", "plain"]),
    default="auto",
    show_default=True,
    help="How the zip is isolated while it runs; auto takes bwrap where it works, else plain.",
)
rows_option = click.option(
    "--rows",
    type=click.IntRange(min=8),
    default=256,
    show_default=True,
    help="Test images for each condition (a corruption at one severity); held-out takes all.",
)
CLUSTER = (
    click.option(
        "--ray", "address", metavar="ADDRESS", help="Run on a Ray cluster: auto, HOST:PORT, or local to start one here."
    ),
    click.option(
        "--cpus", type=FiniteRange(min=0.1), default=2.0, show_default=True, help="With --ray: cores for each run."
    ),
    click.option(
        "--gpus", type=FiniteRange(min=0), help="With --ray: GPUs for each run; default: 1 where the cluster has any."
    ),
    click.option(
        "--memory",
        "memory_gib",
        metavar="GIB",
        type=FiniteRange(min=0),
        default=2.0,
        show_default=True,
        help="With --ray: memory for each run.",
    ),
)


def cluster_options(command: Callable) -> Callable:
    """Give a command the options of a Ray cluster: `address`, and in `needs` what each run asks of it."""

    @functools.wraps(command)
    def with_needs(*, address: str | None, cpus: float, gpus: float | None, memory_gib: float, **others):
        idle = {"cpus": "--cpus", "gpus": "--gpus", "memory_gib": "--memory"}
        given = explicitly_given(click.get_current_context())
        if address == "":
            raise UserError(
                "--ray wants the address of a cluster, got an empty one; leave it out for this machine alone."
            )
        if not address and (named := [option for name, option in idle.items() if name in given]):
            raise UserError(f"{', '.join(named)}: of a Ray cluster; give --ray too, or leave it out.")
        return command(address=address, needs={"cpus": cpus, "gpus": gpus, "memory_gib": memory_gib}, **others)

    for option in reversed(CLUSTER):
        with_needs = option(with_needs)
    return with_needs


suites_option = click.option(
    "--suites",
    metavar="A,B",
    callback=listed,
    help="Suites to score on: held-out, basic, microscopy, imagenet-c, geometry, laboratory, surroundings, stacked, or Python files "
    "that define one; default: held-out, basic, microscopy, stacked; held-out is always asked, by package basic too.",
)
team_option = click.option(
    "--team", default="this team", show_default=True, help="Whose entry it is on the local leaderboard."
)
