"""sweep: many runs, here or on a cluster."""

import click

from build.cli.options import (
    FiniteRange,
    cluster_options,
    data_option,
    engine_option,
    explicitly_given,
    listed,
    refuse_ignored,
    rows_option,
    team_option,
)
from build.errors import UserError


@click.command(short_help="Train recipes with several seeds, folds or settings.")
@data_option
@click.option(
    "--recipes",
    metavar="A,B",
    callback=listed,
    help="Names from build/recipes.py; default: podium (smoke on synthetic cells).",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="How many splits, from seed 0 on."
)
@click.option(
    "--folds", metavar="K", type=click.IntRange(min=2), help="Cross-validation: every seed's cells in K test sides."
)
@click.option(
    "--members",
    type=click.IntRange(min=1, max=4000),
    default=1,
    show_default=True,
    help="Runs with other first weights on each split: what --pack can put together.",
)
@click.option(
    "--search",
    metavar="TEXT",
    default="",
    help='Recipe fields to vary, such as "lr=loguniform(1e-4,3e-3), optimizer=choice(adamw,lion)".',
)
@click.option("--trials", metavar="N", type=click.IntRange(min=1), help="Trials of the search for each recipe.")
@click.option(
    "--search-seed", type=click.IntRange(min=0, max=4000), default=0, show_default=True, help="Seed of the search."
)
@click.option("--epochs", type=click.IntRange(min=1), help="Overrides the recipes' number of epochs.")
@click.option(
    "--minutes", type=FiniteRange(min=0), help="Time budget of each training, 0: none; overrides the recipes'."
)
@click.option(
    "--judge/--no-judge",
    default=None,
    help="Judge every run's zip on its test side; default: yes, but not with --search.",
)
@click.option(
    "--pack", metavar="K", type=click.IntRange(min=1), help="Put the K best runs of one split into a zip and judge it."
)
@click.option("--soup", is_flag=True, help="With --pack: one network, a greedy soup of them, instead of an ensemble.")
@cluster_options
@rows_option
@team_option
@engine_option
def sweep(
    recipes: tuple[str, ...] | None,
    epochs: int | None,
    minutes: float | None,
    judge: bool | None,
    pack: int | None,
    soup: bool,
    address: str | None,
    needs: dict,
    team: str,
    **options,
) -> int:
    """Train recipes with several seeds, folds, members or settings; leaves run folders and runs/sweeps/ID/table.md.

    Ctrl-C keeps what is done; the same command goes on, here or on another cluster.
    """
    import dataclasses

    from build.data.read import is_synthetic
    from build.files import make_folder
    from build.recipes import default, find
    from build.sweep.drive import Sweep
    from build.sweep.plan import Asked
    from build.sweep.search import parse

    if "search_seed" in explicitly_given(click.get_current_context()) and not options["search"]:
        raise UserError("--search-seed is of a search: give --search and --trials, or leave it out.")
    if soup and not pack:
        raise UserError("--soup says how --pack K puts runs together; give both.")
    if "team" in explicitly_given(click.get_current_context()) and not pack:
        raise UserError("--team says whose entry the zip of --pack K is; give both.")
    space = parse(options["search"]) if options["search"] else {}  # refused before the data is read
    names = recipes or [default(synthetic=is_synthetic(options["data"]), gpu=False)]
    given = {"epochs": epochs, "minutes": minutes}
    changes = {name: value for name, value in given.items() if value is not None}
    if twice := [name for name in changes if name in space]:
        raise UserError(f"--search varies {twice[0]}, and --{twice[0]} sets it; leave one of them out.")
    chosen = tuple(dataclasses.replace(find(name), **changes) for name in names)
    if space and "network" not in space:  # a search over networks has settings of either
        from build.console import muffled

        with muffled():
            for recipe in chosen:
                refuse_ignored(recipe, space)
    options = {name: value for name, value in options.items() if value is not None}
    on_one_split = len(chosen) * options.get("trials", 1) * options["members"]
    if pack and pack > on_one_split:
        raise UserError(
            f"--pack {pack} needs {pack} runs of one split, and this sweep has {on_one_split} of each; give more --members or recipes."
        )
    if pack:
        from build.package import DIST

        make_folder(DIST)  # what cannot be written is known before the runs
    driven = Sweep(Asked(chosen, judge=not options["search"] if judge is None else judge, **options))
    if address:
        from build.sweep.ray_engine import Cluster

        with Cluster(address, root=driven.root, cache=driven.cache, **needs) as cluster:
            failed = driven.run(cluster.execute, live=True)
    else:
        failed = driven.run()
    if pack:
        from build.sweep.pack import pack as put_together

        packed = put_together(driven.best(pack), soup=soup, rows=options["rows"], team=team, engine=options["engine"])
        return packed or int(failed > 0)
    return int(failed > 0)
