"""The command line: one function a command; each imports what it needs when it runs, so that --help answers at once."""

import signal
import threading

import click
from rich.markup import escape

from build.cli.averaging import soup
from build.cli.compressing import compress
from build.cli.judging import bundle, compat, leaderboard, score
from build.cli.looking import cam
from build.cli.pretraining import pretrain
from build.cli.showing import inspect
from build.cli.studying import reproduce
from build.cli.sweeping import sweep
from build.cli.training import package, train
from build.console import console
from build.errors import UserError
from build.files import refused
from build.gpu_troubles import troubles_told
from build.machine import check_backend
from build.signals import ending, interrupt

WITH_FRAMEWORK = (train, pretrain, soup, compress, package, cam, reproduce, sweep)
"""Commands that import keras in this process, whatever their options; `inspect` asks by itself."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def app(context: click.Context) -> None:
    """Train, package and judge a competition submission before it is uploaded."""
    if app.commands[context.invoked_subcommand] in WITH_FRAMEWORK:
        check_backend()


for command in (
    train,
    pretrain,
    soup,
    compress,
    package,
    score,
    compat,
    leaderboard,
    inspect,
    cam,
    reproduce,
    sweep,
    bundle,
):
    app.add_command(command)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; a user's error is one sentence on standard error and exit code 2, Ctrl-C, SIGTERM and SIGHUP are 130."""
    in_main = threading.current_thread() is threading.main_thread()  # signals belong to it
    before = {number: signal.signal(number, interrupt) for number in ending()} if in_main else {}
    try:
        return _run(arguments)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(arguments: list[str] | None) -> int:
    try:
        with troubles_told():
            result = app.main(args=arguments, prog_name="python -m build", standalone_mode=False)
    except UserError as error:
        console.print("[bold red]error:[/]", escape(str(error)))
        return 2
    except OSError as error:
        # Most readers and writers say it themselves, and what to do; what asks for a file in passing does not.
        if not (sentence := refused(error)):
            raise
        console.print("[bold red]error:[/]", escape(sentence))
        return 2
    except (click.Abort, KeyboardInterrupt) as interruption:
        # build.errors.Interrupted says how to go on, and click wraps it; a bare Ctrl-C has nothing to say.
        console.print(str(interruption.__cause__ or interruption) or "Interrupted.", markup=False)
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    return result if isinstance(result, int) else 0
