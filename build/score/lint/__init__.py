"""Looks at a zip before anything runs: what is in it, what its source says, what its weights were written by.

`lint(zip, environment)` gives findings, worst first. It executes nothing of the zip and unpacks nothing to disk. A run in the
sandbox decides most of what is found here (a name may be undefined in a line that is never reached); RUN_CANNOT_SHOW are those that it
cannot.
"""

from pathlib import Path

from build.score.environment import ServerEnvironment
from build.score.lint import archive, named, source, weights
from build.score.outcome import SEVERITIES, Finding
from build.score.unpack import Refusal, damage, open_archive, refusal

RUN_CANNOT_SHOW = frozenset({"newer-keras", "newer-python", "newer-api", "newer-numpy"})
"""Rules whose faults a rehearsal on this machine would not meet, because its own versions differ from the server's."""


def lint(zip_path: Path, environment: ServerEnvironment) -> list[Finding]:
    """Findings on the zip at `zip_path` for a server like `environment`: errors first, then warnings, then notes."""
    opened = open_archive(Path(zip_path))
    if isinstance(opened, Refusal):
        return [_fatal(opened)]
    with opened:
        if fatal := refusal(opened) or damage(opened):
            return [_fatal(fatal)]
        findings = archive.look(opened)
        found, modules = source.look(opened, environment)
        findings += found
        findings += weights.look(opened, environment, named.Names(one.tree for one in modules))
    return sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.file, finding.line))


def _fatal(found: Refusal) -> Finding:
    return Finding(found.rule, "error", found.sentence, found.remedy, found.file)
