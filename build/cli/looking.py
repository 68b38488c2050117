"""cam: where a run's network looks."""

from pathlib import Path

import click

from build.cli.options import rows_option


@click.command(short_help="Draw and measure where a network looks.")
@click.argument("run", default="latest")
@click.option("--data", metavar="SOURCE", help="Test cells of this source (as for train); default: the run's own.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("dist/cam.png"),
    show_default=True,
    help="The picture; the figures as JSON go beside it.",
)
@rows_option
def cam(run: str, data: str | None, out: Path, rows: int) -> None:
    """Draw class activation maps of RUN (default: the last) and measure how much it looks at the edges."""
    from build.cam import cam as look

    look(run, data=data, out=out, rows=rows)
