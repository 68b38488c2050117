"""The command line: one function a command; each imports what it needs when it runs, so that --help answers at once."""

import click

from build.console import console
from build.errors import UserError

SYNTHETIC_NOTICE = (
    "No --data given: training on synthetic cells drawn by this kit. They show that everything works; "
    "their scores say nothing about real cells."
)

data_option = click.option(
    "--data",
    metavar="SOURCE",
    default="synthetic",
    show_default=True,
    help="training_set.npz, a folder with one folder of images a class, medmnist:bloodmnist[@64|@128|@224], "
    "or synthetic[:N].",
)
seed_option = click.option(
    "--seed", type=int, default=0, show_default=True, help="Same seed: same split, batches and weights."
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "bwrap", "docker", "plain"]),
    default="auto",
    show_default=True,
    help="How the zip is isolated while it runs; auto takes bwrap where it works, else plain.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def app() -> None:
    """Train, package and judge a competition submission before it is uploaded."""


@app.command()
@data_option
@click.option(
    "--recipe", metavar="NAME", help="A name from build/recipe.py; default: podium (smoke on synthetic cells)."
)
@click.option("--epochs", type=click.IntRange(min=1), help="Overrides the recipe's number of epochs.")
@seed_option
@click.option("--resume", metavar="RUN", help="Go on with a run: its ID, its folder, or latest.")
@click.option("--weights", metavar="W", help="none, imagenet, or a file of weights; overrides the recipe's.")
@click.option("--size", metavar="S", help="A ConvNeXt size, atto ... xlarge; overrides the recipe's.")
@click.option("--minutes", type=click.FloatRange(min=0), help="Time budget of the training; overrides the recipe's.")
def train(
    data: str,
    recipe: str | None,
    epochs: int | None,
    seed: int,
    resume: str | None,
    weights: str | None,
    size: str | None,
    minutes: float | None,
) -> None:
    """Train a recipe; leaves runs/ID/ with the recipe as used, split, history and weights."""
    import dataclasses

    from build.data.prepare import prepare
    from build.recipe import find
    from build.runs import Run

    run = Run.open(resume) if resume else None
    if run:
        chosen, data, seed = run.recipe, run.facts["data"]["source"], run.facts["seed"]
    else:
        chosen = find(recipe or ("smoke" if data.startswith("synthetic") else "podium"))
        changes = {"weights": weights, "size": size, "minutes": minutes}
        chosen = dataclasses.replace(chosen, **{name: value for name, value in changes.items() if value is not None})
    if data == "synthetic":
        console.print(SYNTHETIC_NOTICE)
    prepared = prepare(data, chosen, seed=seed)
    show_data(prepared)

    from build.train.fit import train as fit  # imports the framework: after the data was found to be good

    run = fit(chosen, prepared, seed=seed, resume=run, epochs=epochs)
    click.echo(run.folder)


def show_data(prepared) -> None:
    """Print the table of classes: found, kept, train, validation, test."""
    from rich.table import Table

    from build.data.report import ClassRow, summary

    table = Table(title=f"Cells of {prepared.cells.source}")
    table.add_column("class")
    for column in ClassRow._fields[1:]:
        table.add_column(column, justify="right")
    for row in summary(prepared):
        table.add_row(*map(str, row))
    console.print(table)


@app.command()
@click.argument("run", default="latest")
@click.option("--force", is_flag=True, help="Keep a zip that misses a gate (loud).")
@click.option("--rows", type=click.IntRange(min=8), default=256, show_default=True, help="Test images a condition.")
@click.option("--suites", metavar="A,B", help="Perturbed suites to score; default: the usual ones.")
@click.option("--team", default="you", show_default=True, help="Name of the entry on the local leaderboard.")
@engine_option
def package(run: str, force: bool, rows: int, suites: str | None, team: str, engine: str) -> int:
    """Compress, zip and judge RUN (default: the last); dist/submission.zip appears only if every gate is passed."""
    from build.package import package as make

    names = tuple(suites.split(",")) if suites else None
    return make(run, force=force, rows=rows, suites=names, team=team, engine=engine)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; a user's error is one sentence on standard error and exit code 2, Ctrl-C is 130."""
    try:
        result = app.main(args=arguments, prog_name="python -m build", standalone_mode=False)
    except UserError as error:
        console.print(f"[bold red]error:[/] {error}")
        return 2
    except (click.Abort, KeyboardInterrupt) as interruption:
        # build.runs.Interrupted has said how to go on; a bare Ctrl-C has nothing to say.
        console.print(str(interruption) or "Interrupted.")
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    return result if isinstance(result, int) else 0
