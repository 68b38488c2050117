"""How sure a fault of the source is: what does not run on the server, or is asked for first, is no error. Read, never run."""

import ast
import dataclasses
from collections.abc import Set

from build.score.lint import reached
from build.score.lint.calls import FILE_NAME, PLAIN_CANNOT_SHOW
from build.score.outcome import SEVERITIES, Finding

OPENING = PLAIN_CANNOT_SHOW | {"missing-file", "relative-path"}
"""Rules of what a line opens or fetches: no errors where an `except` forgives it, or where the source asks first."""
RUNNING = OPENING | {"undefined-name", "absent-import", "missing-module", "relative-import", "exit"}
"""Rules of faults that show where their line runs."""


def as_reached(
    findings: list[Finding], path: str, tree: ast.Module, used: Set[str], members: Set[str]
) -> list[Finding]:
    """The findings, none of RUNNING an error where their line in the module at `path` does not run on the server or nothing comes of it.

    That is: in a function that nobody calls, where the file is the program, and for OPENING where an `except` forgives it. Nor is a path
    of another machine, or a file that is not in the zip, an error where it is opened only if it is there.
    """
    idle = dict.fromkeys(_lines(reached.never_called(tree, used)), "warning")
    softer_by = dict.fromkeys(RUNNING, idle | dict.fromkeys(_lines(reached.as_program(tree)), "note"))
    forgiven = idle | dict.fromkeys(_lines(reached.guarded(tree)), "note")
    softer_by |= dict.fromkeys(OPENING, forgiven)

    def lost(name: str) -> bool:
        return (
            FILE_NAME.search(name) is not None and name.removeprefix("./") not in members and not reached.foreign(name)
        )

    for rule, lacks in (("absolute-path", reached.foreign), ("missing-file", lost)):
        asked = reached.elsewhere(tree, lacks)
        # One line may hold what is asked for, and another path that is not.
        calling: dict[bool, set[int]] = {True: set(), False: set()}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and any(map(lacks, _texts(node))):
                calling[node in asked].add(node.lineno)
        softer_by[rule] = forgiven | dict.fromkeys(calling[True] - calling[False], "note")

    def as_said(one: Finding) -> str:
        softer = softer_by.get(one.rule, {}).get(one.line, one.severity)
        return max(one.severity, softer, key=SEVERITIES.index)

    return [dataclasses.replace(one, severity=as_said(one)) if one.file == path else one for one in findings]


def _lines(nodes: Set[ast.AST]) -> set[int]:
    return {node.lineno for node in nodes if hasattr(node, "lineno")}


def _texts(call: ast.Call) -> list[str]:
    """Literal texts that are arguments of a call themselves."""
    given = (*call.args, *(keyword.value for keyword in call.keywords))
    return [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
