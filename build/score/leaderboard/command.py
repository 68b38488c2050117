"""The leaderboard's door: what `python -m build leaderboard` does, in one function.

main()                                          # table, forecast, advice, dist/leaderboard.html
main(record=("3f2a", 0.87))                     # what the server said about an entry, then the same
main(compare=("3f2a", "dist/previous-submission.zip"))
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from build.errors import UserError
from build.files import check_writable, sha256
from build.score.leaderboard import page
from build.score.leaderboard.choose import choose
from build.score.leaderboard.compare import HIDDEN
from build.score.leaderboard.forecast import report
from build.score.leaderboard.predictions import Predictions
from build.score.leaderboard.ranking import Board, Line, build
from build.score.leaderboard.rules import RULES
from build.score.leaderboard.store import DEFAULT, Store, misled
from build.score.leaderboard.table import WIDE, table

PAGE = Path("dist/leaderboard.html")
CONTENDERS = 5
"""As many of the best entries take part in the advice."""


def advice(
    board: Board,
    store: Store,
    *,
    rng: np.random.Generator,
    hidden: int = HIDDEN,
    team: str | None = None,
    folder: Path = PAGE.parent,
) -> list[str]:
    """Which of a team's entries to submit next, from their answers to the same images; sentences.

    team: None for the team of the latest entry. A zip that was judged several times is one entry here: it would share its own
    chances. Of those that the server scored already only the best takes part, to be beaten. Entries without a forecast take part by
    their answers, after the others.
    """
    team = team or next((entry.facts["team"] for entry in reversed(store.entries())), None)
    ours = [line for line in board.lines if line.team == team and line.kind != "reported"]
    sent = sorted((line for line in ours if _is_scored(board, line)), key=_best_first)
    fresh = [line for line in ours if line.kind in ("forecast", "none") and not misled(line.facts) and line not in sent]
    fresh.sort(key=_best_first)
    passed_over = [f"{_trained_on(line)} and takes no part in the advice." for line in ours if line.facts.get("seen")]
    best = next((line for line in sent if not misled(line.facts) and store.has_predictions(line.id)), None)
    answered, zips = {}, set()
    for line in [*fresh, *([best] if best else [])]:
        zip_sha256 = line.facts.get("zip_sha256") or line.id
        full = len(answered) == (CONTENDERS if line is best or not best else CONTENDERS - 1)
        if not full and zip_sha256 not in zips and store.has_predictions(line.id):
            try:
                answered[line.id] = store.predictions(line.id)
                zips.add(zip_sha256)
            except UserError as error:
                passed_over.append(f"{line.id} takes no part in the advice: {error}")
    if sent and not fresh:
        sentences = [f"Every zip here was sent already; the best of them, {sent[0].id}, scored {sent[0].score:.4g}."]
    elif not answered:
        drawn = any(line.facts.get("synthetic") for line in ours)
        sentences = [
            "Synthetic cells forecast nothing: judge on real ones, `nox -s score -- ZIP --data D`."
            if drawn
            else "No entry with stored answers yet: judge a zip (`nox -s score -- ZIP`) to have one."
        ]
    elif len(answered) == 1:
        sentences = [f"One entry to choose from, {next(iter(answered))}; a second one gives a comparison."]
    else:
        scored = {best.id: best.score} if best else {}
        sentences = choose(answered, rng=rng, hidden=hidden, scored=scored)
    named = [line for line in ours if line.id in answered and line.id in sentences[-1]]
    known = [sentence for line in named for sentence in (_described(line, folder), *_late(line))]
    whose = [f"Of the entries of {team} (--team for another):"] if len(board.quotas) > 1 else []
    return [*whose, *passed_over, *known, *sentences]


def comparison(
    board: Board, answered: Mapping[str, Predictions], *, rng: np.random.Generator, hidden: int = HIDDEN
) -> list[str]:
    """Two entries that somebody named, side by side, and which of them deserves a slot; sentences.

    An entry whose accuracies forecast nothing is compared, but not advised.
    """
    lines = [line for line in board.lines if line.id in answered]
    scored = {line.id: line.score for line in lines if _is_scored(board, line)}
    sentences = choose(answered, rng=rng, hidden=hidden, scored=scored)
    if no_reason := [
        f"{_trained_on(line) if line.facts.get('seen') else f'{line.id} was judged on synthetic cells'}: no reason to submit it."
        for line in lines
        if misled(line.facts)
    ]:
        return [*no_reason, *sentences[:-1]]
    late = [sentence for line in lines if line.id in sentences[-1] for sentence in _late(line)]
    return [*late, *sentences]


def _is_scored(board: Board, line: Line) -> bool:
    """Whether the server scored it, in this phase or before it moved it here: it wants no slot."""
    return line.kind == "recorded" or line.id in board.moved


def _trained_on(line: Line) -> str:
    return f"{line.id} was judged on {line.facts['seen']:,} cells that it was trained on"


def _late(line: Line) -> list[str]:
    """What there is to say of an entry for which a job's limit is too short by this machine's speed."""
    if not line.facts.get("late"):
        return []
    return [f"{line.id} would not be done with the hidden set in time at the speed of the machine that judged it."]


def _best_first(line: Line) -> tuple:
    """Sort key: by score, and where there is none by the mean of the suites, after those that have one."""
    if line.score is not None:
        return (0, -line.score)
    return (1, -float(np.mean(list(line.suites.values()) or [0.0])))


def _described(line: Line, folder: Path) -> str:
    """What an entry's id stands for, and which file in `folder` it is."""
    for name in ("submission.zip", "previous-submission.zip", "rejected-submission.zip"):
        path = folder / name
        if path.is_file() and sha256(path) == line.facts.get("zip_sha256"):
            return f"{line.id} is {line.model}, the file {path}."
    run = line.facts.get("run")
    again = f"; `nox -s package -- {run.replace(' + ', ' ')}` makes it again" if run else ""
    return f"{line.id} is {line.model}, no zip in {folder}{again}."


def main(
    *,
    store: Path = DEFAULT,
    record: tuple[str, float] | None = None,
    add: str | None = None,
    remove: str | None = None,
    compare: Sequence[str] | None = None,
    rule: str = "Force_Best",
    phase: str = "dev",
    reported: bool = True,
    per_day: int = 5,
    total: int = 100,
    hidden: int = HIDDEN,
    team: str | None = None,
    seed: int = 0,
    path: Path = PAGE,
    output: Console | None = None,
) -> Board:
    """Print the table, how far the forecast is to be trusted, and which entry to submit; write the page to `path`.

    store: the folder of entries. record: (entry, the server's score 0..1) of `phase`. add, remove: an entry that its owner puts
    on the board or takes off it, for the rules that leave that to the owner. compare: two entries; without it the best ones of
    `team` are compared (`advice`). An entry is named by its id, zip file or run, or the beginning of one. per_day, total: slots
    of the phase, 0 for no limit. hidden: images of the hidden set, for the chances.

    Raises UserError for an unknown entry, team or score.
    """
    if output is None:
        if hasattr(sys.stdout, "reconfigure"):  # the name of a zip need not be text
            sys.stdout.reconfigure(errors="backslashreplace")
        output = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    entries, rng = Store(store), np.random.default_rng(seed)
    # All that can be wrong is found before the first line is written: a record cannot be taken back.
    changes = [(kind, name) for kind, name in (("add", add), ("remove", remove)) if name is not None]
    for kind, name in changes:
        allows = {"add": "manual", "remove": "removable"}[kind]
        rules = [known for known, facts in RULES.items() if getattr(facts, allows)]
        if rule not in rules:
            raise UserError(
                f"Under the rule {rule} nobody can {kind} an entry by hand; leave --{kind} out, or give --rule {' or '.join(rules)}."
            )
        entries.find(name)
    if compare and team is not None:
        raise UserError(
            "--team says whose entries the advice is about, and --compare names two; leave one of them out."
        )
    teams = dict.fromkeys(entry.facts["team"] for entry in entries.entries())
    if team is not None and team not in teams:
        raise UserError(f"The team {team!r} has no entry here; expected one of {', '.join(teams) or 'none yet'}.")
    chosen = [entries.find(name).id for name in compare or ()]
    if compare and len(set(chosen)) != 2:
        raise UserError(f"A comparison takes two different entries, got {', '.join(compare)}.")
    compared = {name: entries.predictions(name) for name in chosen}
    check_writable(path)
    if record is not None:
        name, score = record
        output.print(
            f"Recorded: {entries.record(name, float(score), phase=phase)} scored {float(score):g} ({phase}).",
            markup=False,
        )
    for kind, name in changes:
        entries.act(name, kind, phase=phase)
    board = build(entries, rule=rule, phase=phase, reported=reported, per_day=per_day, total=total)
    output.print(table(board, output.width))
    for name, left in board.quotas.items():
        slots = "no limit" if left.left is None else f"{left.left} left today"
        output.print(f"Slots of {name}: {slots}. {left.reason}".rstrip(), markup=False)
    for sentence in report(board.forecaster) if board.known else ():
        output.print(sentence, markup=False)
    drawn = {"rng": rng, "hidden": hidden}
    sentences = (
        comparison(board, compared, **drawn)
        if compared
        else advice(board, entries, team=team, folder=path.parent, **drawn)
    )
    for sentence in sentences:
        output.print(sentence, markup=False)
    page.write(board, path, advice=sentences)
    output.print(f"Page: {path}", markup=False)
    return board
