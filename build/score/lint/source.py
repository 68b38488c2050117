"""The source that model.py reaches: syntax, names, imports, paths, downloads. Read, never run."""

import ast
import contextlib
import warnings
import zipfile
from collections.abc import Set
from dataclasses import dataclass

from pyflakes import checker, messages

from build.score.environment import ServerEnvironment
from build.score.explain import PACKAGE
from build.score.lint import later, legacy, model_class, newer, reached, softer
from build.score.lint.calls import Calls, dotted
from build.score.outcome import Finding
from build.score.unpack import clean_parts, extracted

MOST_BYTES = 2 * 2**20
"""A larger source file is not looked at."""
OUR_PACKAGE = "build"
IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
"""What a missing module raises, and what is above it."""


@dataclass(frozen=True)
class Module:
    """One parsed file of the zip."""

    path: str
    tree: ast.Module
    text: str


def look(archive: zipfile.ZipFile, environment: ServerEnvironment) -> tuple[list[Finding], list[Module]]:
    """Findings on model.py and every module of the zip that it imports, directly or not; and these modules."""
    members = {"/".join(clean_parts(member.filename)): member for member in extracted(archive) if not member.is_dir()}
    if "model.py" not in members:
        return [], []
    folders = {path[:cut] for path in members for cut, letter in enumerate(path) if letter == "/"}
    places = frozenset(members) | folders
    findings: list[Finding] = []
    modules: list[Module] = []
    importable = {path: path for path in members}
    """As what Python imports it -> the file of the zip."""
    entry = PACKAGE if PACKAGE in members else "model.py"
    queue, seen = [entry], {entry}
    while queue:
        path = queue.pop(0)
        member = members[path]
        if member.file_size > MOST_BYTES:
            findings.append(Finding("long-source", "note", f"{path} is too long to be looked at.", "", path))
            continue
        module = parse(path, archive.read(member), environment, findings)
        if module is None:
            continue
        modules.append(module)
        try:
            for folder in _searched(module, folders):
                below = (file.removeprefix(f"{folder}/") for file in members if file.startswith(f"{folder}/"))
                for file in below:
                    # Found after what is installed where it is appended.
                    if environment.has(file.split("/")[0].removesuffix(".py")) in ("no", "unknown"):
                        importable.setdefault(file, f"{folder}/{file}")
            for found in _files_of_imports(module, importable):
                if found not in seen:
                    seen.add(found)
                    queue.append(found)
            findings += _names(module)
            findings += _imports(module, importable, environment)
            findings += Calls(module.path, places, environment.working_directory).findings(module.tree)
            if path == entry:
                findings += model_class.look(module.path, module.tree)
        except RecursionError:
            findings.append(Finding("deep-source", "note", f"{path} is nested too deeply to be looked at.", "", path))
    used = reached.used(module.tree for module in modules)
    for module in modules:
        with contextlib.suppress(RecursionError):  # said above
            findings += later.look(module.path, module.tree, environment, used)
            findings += legacy.look(module.path, module.tree, environment)
            findings = softer.as_reached(findings, module.path, module.tree, used, places)
    return findings, modules


def parse(path: str, contents: bytes, environment: ServerEnvironment, findings: list[Finding]) -> Module | None:
    """The parsed file; None where it is not Python, with a finding that says why."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a submission's odd escapes are no matter of the judge's
            tree = ast.parse(contents, filename=path)
    except SyntaxError as error:
        sentence = f"{path} is not valid Python: {error.msg}."
        findings.append(Finding("syntax", "error", sentence, "Correct the line.", path, error.lineno or 0))
        return None
    except (ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        findings.append(
            Finding("syntax", "error", f"{path} is not valid Python: {reason}.", "Save it as plain text.", path)
        )
        return None
    if found := newer.fault(tree, contents, environment.python):
        line, reason = found
        server = ".".join(map(str, environment.python))
        sentence = f"{path} needs a newer Python than the server's {server}: {reason}."
        findings.append(Finding("newer-python", "error", sentence, "Write it for the older Python.", path, line))
    return Module(path, tree, contents.decode(errors="replace"))


def _names(module: Module) -> list[Finding]:
    """Names that are used and defined nowhere, by pyflakes."""
    found = checker.Checker(module.tree, filename=module.path).messages
    findings = []
    for message in found:
        if isinstance(message, messages.UndefinedName | messages.UndefinedLocal):
            sentence = f"The name {message.message_args[0]!r} is not defined."
            findings.append(
                Finding("undefined-name", "error", sentence, "Define or import it.", module.path, message.lineno)
            )
    return findings


def _candidates(name: str) -> list[str]:
    """Files that the dotted module `name` and the packages around it may live in."""
    parts = name.split(".")
    found = []
    for count in range(1, len(parts) + 1):
        stem = "/".join(parts[:count])
        found += [f"{stem}.py", f"{stem}/__init__.py"]
    return found


def _package(path: str) -> list[str]:
    return path.split("/")[:-1]


def _imported(module: Module) -> list[tuple[ast.stmt, str, bool]]:
    """(statement, dotted name, guarded) of every import.

    Guarded ones are caught where they fail, under a question for a module, or for type checkers only.
    """
    found = []
    questions = {"TYPE_CHECKING"} | reached.module_questions(module.tree)

    def visit(node: ast.AST, guarded: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((node, alias.name, guarded) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _package(module.path)
            base = base[: len(base) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            if name:
                found.append((node, name, guarded))
            found.extend((node, f"{name}.{alias.name}".lstrip("."), True) for alias in node.names if node.level)
        if isinstance(node, ast.Try | ast.TryStar) and any(
            reached.catches(handler, IMPORT_ERRORS) for handler in node.handlers
        ):
            for child in node.body:
                visit(child, True)
            for child in (*node.handlers, *node.orelse, *node.finalbody):
                visit(child, guarded)
            return
        if isinstance(node, ast.If) and not questions.isdisjoint(reached.names(node.test)):
            guarded = True
        guarded |= reached.suppresses(node, IMPORT_ERRORS)
        for child in ast.iter_child_nodes(node):
            visit(child, guarded)

    visit(module.tree, False)
    return found


def _searched(module: Module, folders: Set[str]) -> list[str]:
    """Folders of the zip that the module may add to those where Python looks for modules: all that it names, if it does so at all."""
    nodes = list(ast.walk(module.tree))
    if not any(isinstance(node, ast.Attribute) and dotted(node) == "sys.path" for node in nodes):
        return []
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    named = {text.removeprefix("./").strip("/") for text in texts} - {""}
    own = "/".join(_package(module.path))
    # Path(__file__).parent / "lib" / "src" names lib/src by its last part.
    return sorted(one for one in folders if one == own or not named.isdisjoint(_tails(one)))


def _tails(path: str) -> list[str]:
    """a/b/c, b/c and c of a/b/c."""
    parts = path.split("/")
    return ["/".join(parts[first:]) for first in range(len(parts))]


def _files_of_imports(module: Module, members: dict[str, str]) -> list[str]:
    """Files of the zip that the module's imports lead to."""
    found = []
    for statement, name, _ in _imported(module):
        names = [name]
        if isinstance(statement, ast.ImportFrom) and not statement.level:
            names += [f"{name}.{alias.name}" for alias in statement.names]
        found += [members[path] for one in names for path in _candidates(one) if path in members]
    return found


def _relative(module: Module) -> list[Finding]:
    """Imports by more dots than there are packages around the module: model.py is imported by itself."""
    unsure, packages = reached.guarded(module.tree), len(_package(module.path))
    sentence = "An import begins with a dot, but the module is in no package that this could mean: the server imports model.py by itself."
    remedy = "Import it without the dots."
    return [
        Finding("relative-import", "note" if node in unsure else "error", sentence, remedy, module.path, node.lineno)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.level > packages
    ]


def _imports(module: Module, members: dict, environment: ServerEnvironment) -> list[Finding]:
    """Imports that the server cannot satisfy."""
    findings = _relative(module)
    folders = {path.split("/")[0] for path in members if "/" in path}
    # A folder without __init__.py gives way to an installed package: keras/ may hold nothing but weights.
    folders = {one for one in folders if f"{one}/__init__.py" in members or environment.has(one) in ("no", "unknown")}
    for statement, name, guarded in _imported(module):
        top = name.split(".")[0]
        line = statement.lineno
        if top == "__future__":
            continue
        if top in folders or f"{top}.py" in members:
            wanted = _candidates(name)[-2:]
            folder = name.replace(".", "/") + "/"
            there = any(path in members for path in wanted) or any(path.startswith(folder) for path in members)
            if not there and not guarded and top != OUR_PACKAGE:
                sentence = f"{name} is imported, but not in the zip."
                findings.append(Finding("missing-module", "error", sentence, f"Add {wanted[0]}.", module.path, line))
                continue
        if top == OUR_PACKAGE:
            sentence = "The package build is imported, which stays at home."
            findings.append(Finding("imports-build", "error", sentence, "Import only what ships.", module.path, line))
            continue
        if top in folders or f"{top}.py" in members or (isinstance(statement, ast.ImportFrom) and statement.level):
            continue
        lacking = environment.lacking(name)
        has = "no" if "." in lacking else environment.has(top)
        if has == "assumed":
            sentence = f"{top} is imported; such servers usually have it, but nobody promised."
            findings.append(Finding("assumed-import", "note", sentence, "Do without it if you can.", module.path, line))
        elif has != "yes":
            lacks = "the server does not have" if has == "no" else "is neither in the zip nor known to be on the server"
            sentence = f"{lacking or top} is imported, which {lacks} ({environment.name})."
            remedy = (
                environment.absent.get(lacking) or "Put it into the zip, or add it to the description of the server."
            )
            findings.append(
                Finding("absent-import", "note" if guarded else "error", sentence, remedy, module.path, line)
            )
    return findings
