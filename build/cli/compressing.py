"""compress: a run's weights in fewer bytes."""

import click

from build.cli.options import FiniteRange, listed
from build.compress import ROWS, STEPS

METHODS_HELP = (
    "Names of build/compress/candidates.py; tfmot stands for all that need tensorflow-model-optimization. "
    "Default: all that do not need it; under nox -s compress: those that do, and five others."
)


@click.command(short_help="Store a run in fewer bytes, under your limits.")
@click.argument("run", default="latest")
@click.option(
    "--size-limit", metavar="MB", type=FiniteRange(min=0), help="Largest zip; default: the recipe's; 0: no limit."
)
@click.option(
    "--budget",
    metavar="POINTS",
    type=FiniteRange(min=0),
    help="Points of accuracy that each suite may lose; default: the recipe's.",
)
@click.option("--methods", metavar="A,B", callback=listed, help=METHODS_HELP)
@click.option(
    "--rows",
    type=click.IntRange(min=8),
    default=ROWS,
    show_default=True,
    help="Validation images for each condition (a corruption at one severity).",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=STEPS,
    show_default=True,
    help="Steps of each fine-tuning, at most an epoch (tfmot's begin it anew).",
)
def compress(
    run: str, size_limit: float | None, budget: float | None, methods: tuple[str, ...] | None, rows: int, steps: int
) -> int:
    """Store RUN (default: the last) in several ways, judge each on validation cells, keep the one that package takes."""
    from build.compress.candidates import DEFAULT
    from build.compress.command import compress as make

    return int(
        make(run, size_limit_mb=size_limit, budget=budget, methods=methods or DEFAULT, rows=rows, steps=steps) is None
    )
