"""score, compat, leaderboard and bundle: what a zip is worth."""

from pathlib import Path

import click

from build.cli.options import (
    FiniteRange,
    data_option,
    engine_option,
    explicitly_given,
    rows_option,
    seed_option,
    suites_option,
    team_option,
)
from build.errors import UserError
from build.recipe import Recipe
from build.score.unpacker.leaderboards import RULES
from submission.contract import COMPETITION


@click.command(short_help="Judge any zip as the Codabench worker would run it.")
@click.argument("zip", type=click.Path(path_type=Path))
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="A competition bundle (folder or zip) to rehearse with."
)
@click.option(
    "--run",
    metavar="RUN",
    help="Judge on the test cells of this run; default: of the one that the zip was packaged from, else of the last, else synthetic cells.",
)
@click.option("--data", metavar="SOURCE", help="Judge on the test cells of this source (as for train) instead.")
@click.option("--whole", is_flag=True, help="Judge on all cells of --data: give those that the zip never saw.")
@click.option(
    "--time-limit",
    metavar="S",
    type=FiniteRange(min=1, max=10**7),
    help="Seconds a job may take; default: 600, or the bundle's (at most 600 without a queue of its own).",
)
@click.option(
    "--memory-limit",
    metavar="GIB",
    type=FiniteRange(min=0.1, max=2**20),
    help="Memory a job may take; default: no limit.",
)
@engine_option
@click.option("--image", default="", help="Docker image; default: the bundle's, else the description's of the server.")
@click.option(
    "--era",
    type=click.Choice(["2024-11", "2026-03"]),
    default="2026-03",
    show_default=True,
    help="Which worker: as its code was in that month.",
)
@click.option(
    "--environment",
    type=click.Path(path_type=Path),
    help="Description of the server's packages; default: build/score/server_environment.json.",
)
@click.option(
    "--phase", type=click.IntRange(min=0), default=0, show_default=True, help="Phase of the bundle, counted from 0."
)
@click.option(
    "--hidden",
    metavar="N",
    type=click.IntRange(min=1),
    help="Images of the hidden set: forecasts its time, and gives a job at most so many (a single larger set is not divided); "
    "default: at most 5,000, no forecast.",
)
@click.option(
    "--adapts",
    is_flag=True,
    help="Predictions are meant to depend on the other images of a call: probes do not count that as a fault.",
)
@click.option(
    "--probes/--no-probes",
    default=True,
    show_default=True,
    help="Also call the zip in unusual ways: other order, batches, dtypes, no image.",
)
@click.option("--baseline", type=click.Path(path_type=Path), help="A scorecard.json to compare with.")
@rows_option
@suites_option
@team_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole verdict as JSON on standard output.")
@click.pass_context
def score(context: click.Context, zip: Path, bundle: Path | None, as_json: bool, **options) -> int:
    """Judge ZIP as the Codabench worker would run it: 0 it would score, 1 it would fail, 2 wrong usage."""
    _refuse_what_has_no_effect(context, bundle)
    from build.score.command import score as judge

    return judge(zip, bundle=bundle, as_json=as_json, **options)


OF_TEST_CELLS = ("run", "data", "whole", "suites", "baseline", "rows", "team", "hidden", "adapts", "probes")
"""Options that say how test cells are made and asked about; a bundle brings its own images, and its programs ask."""
OF_A_BUNDLE = ("phase",)


def _refuse_what_has_no_effect(context: click.Context, bundle: Path | None) -> None:
    idle = [f"--{name}" for name in (OF_TEST_CELLS if bundle else OF_A_BUNDLE) if name in explicitly_given(context)]
    if idle and bundle:
        raise UserError(
            f"A bundle brings its own images and asks about them itself: leave out {', '.join(idle)} with --bundle."
        )
    if idle:
        raise UserError(f"{idle[0]} is of a competition bundle: give one by --bundle, or leave it out.")
    if "image" in explicitly_given(context) and context.params["engine"] != "docker":
        raise UserError("--image is of the engine docker: give --engine docker too, or leave it out.")


@click.command(short_help="Ask a zip the same under several TensorFlows.")
@click.argument("zip", type=click.Path(path_type=Path), default=Path("dist/submission.zip"))
@click.option("--only", metavar="V", multiple=True, help="A version set, such as 2.17; may be repeated.")
@click.option(
    "--quick", is_flag=True, help="The server's set only, beside the versions installed here, on fewer images."
)
@click.option(
    "--data",
    metavar="SOURCE",
    help="Ask about cells of this source; default: the last run's test cells, else synthetic cells.",
)
@click.option(
    "--environments",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    default=Path(__file__).parents[2] / ".nox",
    help="Keeps an environment for each version set, up to 2.5 GB each; default: .nox of the repository.",
)
def compat(zip: Path, **options) -> int:
    """Ask ZIP the same under several TensorFlows, the server's among them: 1 if an answer differs or the server's cannot be asked.

    The zip runs with your rights, not isolated: judge a foreign one with `score` first.
    """
    from build.score.compat.command import compat as ask

    return ask(zip, **options)


@click.command(short_help="Rank the judged zips, forecast, say which to submit.")
@click.option(
    "--record", nargs=2, metavar="ENTRY SCORE", help="Note the server's score of an entry, for instance 3f2a 0.87."
)
@click.option("--compare", nargs=2, metavar="ENTRY ENTRY", help="Compare two entries on the same images.")
@click.option("--add", metavar="ENTRY", help="Put an entry on the board, for the rules that leave it to its owner.")
@click.option("--remove", metavar="ENTRY", help="Take an entry off the board.")
@click.option(
    "--rule",
    type=click.Choice(RULES),
    default="Force_Best",
    show_default=True,
    help="Which entries stand on the board.",
)
@click.option("--phase", type=click.Choice(("dev", "final")), default="dev", show_default=True, help="Whose board.")
@click.option("--reported/--no-reported", default=True, show_default=True, help="Show the publicly reported scores.")
@click.option(
    "--per-day",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Submissions allowed in a UTC day; 0: no limit.",
)
@click.option(
    "--total",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Submissions allowed in the phase; 0: no limit.",
)
@click.option(
    "--hidden",
    metavar="N",
    type=click.IntRange(min=1, max=10**6),
    default=Recipe.hidden_images,
    show_default=True,
    help="Images of the hidden set, for the chance of ranking first and the smallest difference that it would show.",
)
@click.option("--team", help="Whose entries the advice is about; default: the latest entry's.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the random numbers behind chances and intervals.",
)
def leaderboard(record: tuple[str, str] | None, **options) -> None:
    """Rank the judged zips beside the public scores, forecast their hidden scores, write dist/leaderboard.html."""
    from build.score.leaderboard.command import main as show

    try:
        recorded = (record[0], float(record[1])) if record else None
    except ValueError as error:
        raise UserError(f"--record takes an entry and a score from 0 to 1, got {record[1]!r}.") from error
    show(record=recorded, **options)


@click.command(short_help="Write a competition bundle for a Codabench server.")
@data_option
@seed_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("dist/bundle.zip"),
    show_default=True,
    help="A .zip, or a folder.",
)
@click.option(
    "--start", metavar="DATE", type=click.DateTime(["%Y-%m-%d"]), help="First day of the phases; default: today."
)
@click.option(
    "--days", type=click.IntRange(min=1), default=14, show_default=True, help="Days of the development phase."
)
@click.option(
    "--title", default=COMPETITION.replace("-", " ").capitalize(), show_default=True, help="Of the competition."
)
@click.option("--final-days", type=click.IntRange(min=1), default=2, show_default=True, help="Days of the final phase.")
@click.option("--image", default="", help="Docker image of the workers; default: TensorFlow's of the server's version.")
@click.option(
    "--time-limit",
    metavar="S",
    type=click.IntRange(min=1),
    default=600,
    show_default=True,
    help="Seconds a job may take; above 600 only on a queue of your own, which competition.yaml then has to name.",
)
@click.option(
    "--per-day", type=click.IntRange(min=1), default=5, show_default=True, help="Submissions allowed in a UTC day."
)
@click.option(
    "--total", type=click.IntRange(min=1), default=100, show_default=True, help="Submissions allowed in a phase."
)
@click.option(
    "--rule",
    type=click.Choice(RULES),
    default="Force_Best",
    show_default=True,
    help="Which entries stand on the board.",
)
@rows_option
def bundle(data: str, out: Path, start, per_day: int, total: int, rule: str, **options) -> None:
    """Write a competition bundle with a development and a final phase that Codabench's unpacker accepts.

    Hidden are the test cells of --data, half of them in each phase, as they are and perturbed (--rows of them for each
    corruption and severity); what may be published, and how many images a job answers, is told.
    """
    from build.score.command import bundle as write

    quotas = {"submissions_per_day": per_day, "submissions": total, "submission_rule": rule}
    click.echo(write(data, out, start=start.date() if start else None, **quotas, **options))
