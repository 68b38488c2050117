"""reproduce: train and judge the rows of a study."""

import click

from build.cli.options import (
    cluster_options,
    data_option,
    engine_option,
    rows_option,
)


@click.command(short_help="Train and judge what the report tried.")
@click.option(
    "--study",
    metavar="NAME",
    default="models",
    show_default=True,
    help="A study of build/study/catalogue.py: models, balance, augmix, randaugment, regularisation, optimizer, "
    "framing, distillation, ablation, defects; or all.",
)
@data_option
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="How many seeds, from 0 on.")
@click.option(
    "--scale",
    type=click.Choice(["auto", "report", "small"]),
    default="auto",
    show_default=True,
    help="report: the recipes as they stand, with the weights that they begin from; small: what two cores carry; "
    "auto: report where a GPU is found.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Overrides the number of epochs of every row.")
@rows_option
@click.option("--only", metavar="TEXT", default="", help="Train only the rows whose label contains this text.")
@cluster_options
@engine_option
def reproduce(study: str, data: str, address: str | None, needs: dict, **options) -> int:
    """Train and judge the rows of a study, beside the report's figures where it gives any (models).

    Leaves dist/studies/NAME.{html,md,json,png}.

    Ctrl-C keeps what is done; the same command goes on. Rows that were trained before, by this or another study, are not trained again.
    """
    from build.study.reproduce import reproduce as run

    if not address:
        return run(study, data=data, **options)
    from pathlib import Path

    from build.sweep.ray_engine import Cluster

    with Cluster(address, root=Path("runs"), cache=Path("data"), **needs) as cluster:
        return run(study, data=data, carry=cluster.execute, **options)
