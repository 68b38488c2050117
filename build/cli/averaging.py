"""soup: one network from the mean of several runs' weights."""

import click

from build.console import muffled


@click.command(short_help="Average the weights of several runs into one network.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--greedy", is_flag=True, help="Best first, and keep only runs with which the validation score does not fall."
)
def soup(runs: tuple[str, ...], greedy: bool) -> None:
    """Average the weights of runs of one network that began with the same trained weights; leaves a new run to package."""
    with muffled():  # imports the framework
        from build.train import hardware
        from build.train.soup import soup as average

        hardware.find()

    click.echo(average(runs, greedy=greedy).folder)
