"""Names of Keras, numpy and Python's library that came after the server's versions: the rehearsal's own have them, the server's not."""

import ast
from collections.abc import Set

from build.score.environment import ServerEnvironment
from build.score.lint import reached
from build.score.lint.calls import dotted
from build.score.lint.standard_library import FIRST_PYTHON
from build.score.outcome import Finding


def _locals(tree: ast.Module) -> set[ast.Name]:
    """Names within functions that are their arguments or are assigned there, whatever the module imports under the same name."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            given = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
            given |= _assigned(node)
            found |= {inner for inner in ast.walk(node) if isinstance(inner, ast.Name) and inner.id in given}
    return found


def _assigned(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    """Names that a function assigns in its own scope."""
    assigned, shared = set(), set()
    left = [*function.body] if isinstance(function.body, list) else [function.body]
    while left:
        node = left.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            assigned.add(node.id)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            shared |= {*node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        left += ast.iter_child_nodes(node)
    return assigned - shared


def _looked_for(tree: ast.Module) -> set[str]:
    """Names that the module asks for by hasattr before it uses them."""
    return {
        node.args[1].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func) == "hasattr" and len(node.args) == 2
        if isinstance(node.args[1], ast.Constant)
    }


def look(path: str, tree: ast.Module, environment: ServerEnvironment, used: Set[str]) -> list[Finding]:
    """A finding for each place where a name is used that the server lacks: those of `environment.later`, and of a newer Python.

    An error where the line surely runs; a note where the source asks first (`except`, hasattr, a version), a warning within a function
    whose name is not in `used`, those that the zip's modules mention.
    """
    found: dict[tuple[int, str], Finding] = {}
    aliases: dict[str, str] = {}
    guarded, looked_for, idle = reached.guarded(tree), _looked_for(tree), reached.never_called(tree, used)

    def say(node: ast.AST, name: str) -> None:
        older = _older(name, environment)
        if older and (node.lineno, name) not in found:
            sentence = f"{name} is newer than the server's {older}."
            severity = "warning" if node in idle else "error"
            if node in guarded or name.rpartition(".")[2] in looked_for:
                severity = "note"
            remedy = "Do without it, or write it yourself."
            found[node.lineno, name] = Finding("newer-api", severity, sentence, remedy, path, node.lineno)

    nodes, local = list(ast.walk(tree)), _locals(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                # `import a.b` binds a; `import a.b as c` binds c to a.b.
                bound = alias.name if alias.asname else alias.name.split(".")[0]
                aliases[alias.asname or bound] = bound
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                aliases[alias.asname or alias.name] = name
                say(node, _plain(name))
    for node in tree.body:  # tfk = tf.keras; tfkl = tfk.layers
        if isinstance(node, ast.Assign) and (name := dotted(node.value)):
            first, _, rest = name.partition(".")
            if rest and first in aliases:
                bound = f"{aliases[first]}.{rest}"
                aliases |= {target.id: bound for target in node.targets if isinstance(target, ast.Name)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and (name := dotted(node)):
            first, _, rest = name.partition(".")
            if first in aliases and (root := _root(node)) and root not in local:
                say(node, _plain(f"{aliases[first]}.{rest}"))
    return list(found.values())


def _older(name: str, environment: ServerEnvironment) -> str:
    """What of the server is older than `name`, with its version; empty where it has the name."""
    if name in environment.later:
        package = name.split(".")[0]
        return f"{package} {environment.certain.get(package, '')}".rstrip()
    newer = FIRST_PYTHON.get(name, environment.python) > environment.python
    return f"Python {'.'.join(map(str, environment.python))}" if newer else ""


def _plain(name: str) -> str:
    """TensorFlow shows the same Keras under a name of its own."""
    return name.removeprefix("tensorflow.") if name.startswith("tensorflow.keras.") else name


def _root(node: ast.AST) -> ast.Name | None:
    """The plain name that an attribute chain starts with, None where it starts otherwise."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node if isinstance(node, ast.Name) else None
