"""The command line: one function a command; each imports what it needs when it runs, so that --help answers at once."""

from pathlib import Path

import click
from rich.markup import escape

from build.console import console, muffled
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
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Same seed: same split, batches and weights.",
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

    with muffled():  # imports the framework: after the data was found to be good
        from build.train import hardware
        from build.train.fit import train as fit

        hardware.find()  # the first look at the devices is the talkative one

    run = fit(chosen, prepared, seed=seed, resume=run, epochs=epochs)
    click.echo(run.folder)


def show_data(prepared) -> None:
    """Print the table of classes: found, kept, train, validation, test."""
    from rich.table import Table

    from build.data.report import ClassRow, summary

    table = Table(title=f"Cells of {escape(prepared.cells.source)}")
    table.add_column("class")
    for column in ClassRow._fields[1:]:
        table.add_column(column, justify="right")
    for row in summary(prepared):
        table.add_row(*map(str, row))
    console.print(table)


rows_option = click.option(
    "--rows", type=click.IntRange(min=8), default=256, show_default=True, help="Test images a condition."
)
suites_option = click.option(
    "--suites",
    metavar="A,B",
    callback=lambda _context, _option, value: tuple(filter(None, value.split(","))) if value else None,
    help="Suites to score on: held-out, basic, microscopy, imagenet-c, geometry, stacked, or Python files that define one.",
)
team_option = click.option(
    "--team", default="this team", show_default=True, help="Whose entry it is on the local leaderboard."
)


@app.command()
@click.argument("run", default="latest")
@click.option("--force", is_flag=True, help="Keep a zip that misses a gate (loud).")
@rows_option
@suites_option
@team_option
@engine_option
def package(run: str, force: bool, rows: int, suites: tuple[str, ...] | None, team: str, engine: str) -> int:
    """Compress, zip and judge RUN (default: the last); dist/submission.zip appears only if every gate is passed."""
    from build.package import package as make

    return make(run, force=force, rows=rows, suites=suites, team=team, engine=engine)


@app.command()
@click.argument("zip", type=click.Path(path_type=Path))
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="A competition bundle (folder or zip) to rehearse with."
)
@click.option("--run", metavar="RUN", help="Judge on the test cells of this run; default: of the last one.")
@click.option("--data", metavar="SOURCE", help="Judge on the test cells of this source (as for train) instead.")
@click.option("--time-limit", metavar="S", type=click.FloatRange(min=1), help="Seconds a job may take; default: 600.")
@click.option("--memory-limit", metavar="GIB", type=click.FloatRange(min=0.1), help="Memory a container may take.")
@engine_option
@click.option("--image", default="", help="Docker image; default: the competition's.")
@click.option(
    "--era", type=click.Choice(["2024-11", "2026-03"]), default="2026-03", show_default=True, help="Which worker."
)
@click.option("--environment", type=click.Path(path_type=Path), help="Description of the server's packages (JSON).")
@click.option("--phase", type=click.IntRange(min=0), default=0, show_default=True, help="Of the bundle, from 0 on.")
@click.option(
    "--hidden", metavar="N", type=click.IntRange(min=1), help="Images of the hidden set, for a forecast of time."
)
@click.option("--adapts", is_flag=True, help="Predictions are meant to depend on the other images of a call.")
@click.option("--probes/--no-probes", default=True, show_default=True, help="Also call it in unusual ways.")
@click.option("--baseline", type=click.Path(path_type=Path), help="A scorecard.json to compare with.")
@rows_option
@suites_option
@team_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole verdict as JSON on standard output.")
def score(zip: Path, bundle: Path | None, as_json: bool, **options) -> int:
    """Judge ZIP as the Codabench worker would run it: 0 it would score, 1 it would fail, 2 wrong usage."""
    from build.score.command import score as judge

    return judge(zip, bundle=bundle, as_json=as_json, **options)


@app.command()
@click.option("--record", nargs=2, metavar="ENTRY SCORE", help="What the server said, for instance 3f2a 0.87.")
@click.option("--compare", nargs=2, metavar="ENTRY ENTRY", help="Compare two entries on the same images.")
@click.option("--add", metavar="ENTRY", help="Put an entry on the board, for the rules that leave it to its owner.")
@click.option("--remove", metavar="ENTRY", help="Take an entry off the board.")
@click.option(
    "--rule",
    default="Force_Best",
    show_default=True,
    help="Add, Add_And_Delete, Add_And_Delete_Multiple, Force_Last, Force_Latest_Multiple or Force_Best.",
)
@click.option("--phase", default="dev", show_default=True, help="dev or final.")
@click.option("--reported/--no-reported", default=True, show_default=True, help="Show the publicly reported scores.")
@click.option(
    "--per-day", type=click.IntRange(min=0), default=5, show_default=True, help="Slots a UTC day; 0: no limit."
)
@click.option(
    "--total", type=click.IntRange(min=0), default=100, show_default=True, help="Slots of the phase; 0: no limit."
)
@seed_option
def leaderboard(record: tuple[str, str] | None, **options) -> None:
    """Rank the judged zips beside the public scores, forecast their hidden scores, write dist/leaderboard.html."""
    from build.score.leaderboard.board import main as show

    try:
        recorded = (record[0], float(record[1])) if record else None
    except ValueError as error:
        raise UserError(f"--record takes an entry and a score from 0 to 1, got {record[1]!r}.") from error
    show(record=recorded, **options)


@app.command()
@data_option
@seed_option
def inspect(data: str, seed: int) -> None:
    """Show what a data source holds: classes, duplicates, foreign pictures, the split, with reasons."""
    from rich.table import Table

    from build.data.prepare import prepare
    from build.data.report import reasons
    from build.recipe import Recipe

    prepared = prepare(data, Recipe(name="inspect"), seed=seed)
    show_data(prepared)
    table = Table(title="What was found")
    for column, justify in (("reason", "left"), ("count", "right"), ("first example", "left")):
        table.add_column(column, justify=justify)
    for row in reasons(prepared):
        table.add_row(row.reason, f"{row.count:,}", escape(row.example))
    if table.rows:
        console.print(table)


@app.command()
@data_option
@seed_option
@click.option("--out", type=click.Path(path_type=Path), default=Path("dist/bundle.zip"), show_default=True)
@click.option(
    "--start", metavar="DATE", type=click.DateTime(["%Y-%m-%d"]), help="First day of the phases; default: today."
)
@click.option(
    "--days", type=click.IntRange(min=1), default=14, show_default=True, help="Days of the development phase."
)
@click.option("--title", default="Blood cells", show_default=True)
@rows_option
def bundle(data: str, seed: int, out: Path, start, days: int, title: str, rows: int) -> None:
    """Write a competition bundle with a development and a final phase that Codabench's unpacker accepts."""
    from build.score.command import bundle as write

    click.echo(write(data, out, seed=seed, start=start.date() if start else None, days=days, title=title, rows=rows))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; a user's error is one sentence on standard error and exit code 2, Ctrl-C is 130."""
    try:
        result = app.main(args=arguments, prog_name="python -m build", standalone_mode=False)
    except UserError as error:
        console.print("[bold red]error:[/]", escape(str(error)))
        return 2
    except (click.Abort, KeyboardInterrupt) as interruption:
        # build.runs.Interrupted says how to go on, and click wraps it; a bare Ctrl-C has nothing to say.
        console.print(str(interruption.__cause__ or interruption) or "Interrupted.")
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    return result if isinstance(result, int) else 0
