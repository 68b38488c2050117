"""README.md and docs/*.md: links lead somewhere, files and options that are named exist, the table of suites is the kit's."""

import re
from pathlib import Path

import pytest

from build.cli import app
from build.score.rehearsal import DEFAULT_SUITES
from build.score.suites import SUITES

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OF_OTHERS = {
    *("--head", "--port", "--address", "--generate", "--min-nodes"),  # ray
    *("--nodes", "--ntasks-per-node"),  # Slurm
    *("--python", "--no-deps", "--index-url"),  # uv, pip
}
"""Options of other programs' commands."""
each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


def anchors(path: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_links_lead_to_files_and_headings(path):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", path.read_text()):
        file = path.parent / target if target else path
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), (target, anchor)


@each_document
def test_files_of_the_repository_that_are_named_exist(path):
    named = set()
    for one in re.findall(r"`((?:build|docs|submission|tests)/[^`\s]*)`", path.read_text()):
        before, _, rest = one.partition("{")
        choices, _, after = rest.partition("}")
        named |= {before + choice + after for choice in choices.split(",")}
    assert {name for name in named if "NAME" not in name and not (ROOT / name).exists()} == set()


@each_document
def test_options_that_are_named_exist(path):
    known = {option for command in app.commands.values() for one in command.params for option in one.opts}
    known |= {option for command in app.commands.values() for one in command.params for option in one.secondary_opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", path.read_text()))
    assert named - known - OF_OTHERS - {"--help"} == set()


def test_the_table_of_suites_is_the_kit_s():
    table = (ROOT / "docs/judge.md").read_text().partition("| suite | contents | default |\n|---|---|---|\n")[2]
    rows = [row.strip("|").split("|") for row in table.partition("\n\n")[0].splitlines()]
    assert {name.strip(" `") for name, *_ in rows} == set(SUITES)
    assert {name.strip(" `") for name, _, default in rows if "yes" in default} == set(DEFAULT_SUITES)
