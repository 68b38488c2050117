"""inspect: what a data source holds."""

import click
from rich.markup import escape

from build.cli.options import data_option, seed_option
from build.console import console


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


@click.command()
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
