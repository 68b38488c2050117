"""Scores and detailed results as the worker reads them and as the site would store them."""

import json
import stat
from decimal import Decimal, InvalidOperation
from pathlib import Path

import yaml

from build.score.outcome import Failure, Finding

MOST_BYTES = 1 << 20
LARGEST = 1e10
"""The site stores 20 digits, 10 of them decimals."""


def _regular(path: Path) -> bool:
    """Whether `path` is a plain file (no link, no pipe)."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _parsed(output: Path) -> object | Failure:
    """What the scores file holds, or why it cannot be read."""
    if _regular(path := output / "scores.json"):
        try:
            with path.open(encoding="utf-8") as file:
                return json.loads(file.read(MOST_BYTES))
        except (ValueError, RecursionError) as error:
            return Failure(
                "scores",
                f"The scoring program's scores.json is not valid JSON ({error}).",
                "Status Failed: 'Could not decode scores json properly, it contains an error.'",
                "Write it with json.dump.",
            )
    if _regular(path := output / "scores.txt"):
        try:
            with path.open(encoding="utf-8") as file:
                return yaml.safe_load(file.read(MOST_BYTES))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[:200]
            return Failure(
                "scores",
                f"The scoring program's scores.txt is not valid YAML ({reason}).",
                "Status Finished, but no score appears: the worker stops without a message.",
                "Write one `column: value` a line.",
            )
    return Failure(
        "scores",
        "The scoring program left neither scores.json nor scores.txt.",
        "Status Failed: 'Could not find scores file, did the scoring program output it?'",
        "Look at the logs of the scoring step.",
    )


def read(
    output: Path, columns: tuple[str, ...], primary: str
) -> tuple[dict[str, float], Failure | None, list[Finding]]:
    """(stored scores, why there are none, findings) of a scoring job's output, for a leaderboard with these columns."""
    found = _parsed(output)
    if isinstance(found, Failure):
        return {}, found, []
    silent = "Status Finished, but no score appears: the worker stops without a message."
    if not isinstance(found, dict):
        sentence = f"The scores are a {type(found).__name__}, not a mapping of columns to numbers."
        return {}, Failure("scores", sentence, silent, "Write {column: number, ...}."), []
    stored: dict[str, float] = {}
    for key, value in found.items():
        try:
            json.dumps(value, allow_nan=False)
        except (ValueError, TypeError, RecursionError):
            sentence = f"The score {key!r} is {str(value)[:50]}, which the worker cannot send."
            return {}, Failure("scores", sentence, silent, "Let the scoring program write finite numbers."), []
        if str(key) not in columns:
            continue  # the worker sends it, and the site passes over what is no column, whatever it is
        if isinstance(value, str | bool):  # a Django DecimalField takes what Decimal does: "0.91", true
            value = _number(value)
        if not isinstance(value, int | float):
            sentence = f"The score {key!r} is {str(found[key])[:50]!r}, not a number."
            return {}, Failure("scores", sentence, silent, "Write numbers only."), []
        if isinstance(value, int):  # of any length, and a float holds 308 digits
            value = max(-LARGEST, min(LARGEST, value))
        if abs(value) >= LARGEST:
            sentence = f"The score {key!r} is {found[key]!s:.20}; the site stores numbers below 1e10."
            return {}, Failure("scores", sentence, silent, "Scale it."), []
        stored[str(key)] = float(value)
    findings = []
    if dropped := sorted({str(key) for key in found} - set(stored)):
        sentence = f"These scores are no columns of the leaderboard and are dropped: {', '.join(dropped)}."
        findings.append(Finding("dropped-scores", "note", sentence))
    if not stored:
        sentence = f"None of the scores ({', '.join(map(str, found)) or 'no keys'}) is a column ({', '.join(columns)})."
        return (
            {},
            Failure("scores", sentence, "Status Finished, but the leaderboard stays empty.", "Use its keys."),
            findings,
        )
    if primary in columns and primary not in stored:
        sentence = f"The score {primary!r}, by which the leaderboard ranks, is missing."
        findings.append(Finding("no-primary-score", "warning", sentence, "Let the scoring program write it."))
    return stored, None, findings


def _number(value: str | bool) -> float | None:
    """What the site makes of a text or a truth value; None where it makes nothing of it."""
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return float(number) if number.is_finite() else None


def detailed_results(output: Path) -> str:
    """The page that the site would show: detailed_results.html, else the first HTML file; empty where there is none."""
    pages = [output / "detailed_results.html", *sorted(output.glob("*.html"))]
    path = next((path for path in pages if _regular(path)), None)
    if path is None:
        return ""
    with path.open("rb") as file:
        return file.read(10 * MOST_BYTES).decode(errors="replace")
