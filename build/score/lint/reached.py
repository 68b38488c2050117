"""Which nodes of a module surely run: what is guarded, and what nobody calls. Read, never run."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set

from build.score.environment import SYSTEM_FOLDERS

FORGIVEN = frozenset(
    {"ImportError", "ModuleNotFoundError", "AttributeError", "NameError", "OSError", "IOError", "FileNotFoundError", "Exception",
     "BaseException"}
)  # fmt: skip
"""Errors of what is not there, and those above them."""
VERSION = re.compile(r"(?<![A-Za-z])version|(?<![a-z])Version|VERSION")
"""A word of a name: `conversion` asks for no version."""
ABSOLUTE = re.compile(r"^(?:/|~|[A-Za-z]:[\\/])")
OF_EVERY_SERVER = ("/tmp/", "/app/", *SYSTEM_FOLDERS)  # noqa: S108
"""Folders that the server has too."""
EXISTS = frozenset({"exists", "isfile", "isdir", "is_file", "is_dir"})


def _mentions(node: ast.AST) -> str:
    """The name that a node uses, imports or holds as a text; empty for all others."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    key = {ast.Name: "id", ast.Attribute: "attr", ast.alias: "name"}.get(type(node))
    return getattr(node, key) if key else ""


def used(trees: Iterable[ast.Module]) -> set[str]:
    """Every name that is mentioned in what may run here: a function of another name is never called.

    Not in a file run as the program, nor in functions that nobody calls: what only a training calls is left over with it.
    """
    trees = list(trees)
    idle = {node for tree in trees for node in as_program(tree)}
    counts = Counter(_mentions(node) for tree in trees for node in ast.walk(tree) if node not in idle)
    functions: dict[str, list[ast.AST]] = {}
    for tree in trees:
        for function in _by_name(tree):
            functions.setdefault(function.name, []).append(function)
    uncalled = [name for name in functions if not counts[name]]
    while uncalled:  # each node is counted out once, however long a chain of functions is
        for function in functions[uncalled.pop()]:
            more = _inner(function.body) - idle
            idle |= more
            for name in map(_mentions, more):
                counts[name] -= 1
                if not counts[name] and name in functions:
                    uncalled.append(name)
    return {name for name, count in counts.items() if count}


def _inner(bodies: Iterable[ast.AST]) -> set[ast.AST]:
    return {inner for body in bodies for inner in ast.walk(body)}


def as_program(tree: ast.Module) -> set[ast.AST]:
    """Nodes that run only where the file is the program: below `if __name__ == "__main__"`."""
    return _inner(
        body
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Compare) and isinstance(node.test.ops[0], ast.Eq)
        if {"__name__", "__main__"} <= set(map(_mentions, ast.walk(node.test)))
        for body in node.body
    )


def guarded(tree: ast.Module) -> set[ast.AST]:
    """Nodes that do not surely run, or only where the name is there.

    Within a `try` whose `except` forgives it, or an `except`, under `suppress`, under a question for a version, for a module, for type
    checkers or for what something has, and in what only runs where the file is the program.
    """
    bodies: list[ast.AST] = []
    questions = {"TYPE_CHECKING", "hasattr"} | module_questions(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Try | ast.TryStar):
            bodies += [*(node.body if any(map(_forgives, node.handlers)) else ()), *node.handlers]
        elif suppresses(node, FORGIVEN):
            bodies += node.body
        elif isinstance(node, ast.If | ast.IfExp) and any(
            VERSION.search(name) or name in questions for name in names(node.test)
        ):
            bodies += [*node.body, *node.orelse] if isinstance(node, ast.If) else [node.body, node.orelse]
    return _inner(bodies) | as_program(tree)


def module_questions(tree: ast.Module) -> set[str]:
    """Names that ask whether a module is installed: importlib's find_spec, and what its answer is kept as."""
    kept = {"find_spec"}
    for node in tree.body:
        if isinstance(node, ast.Assign) and "find_spec" in names(node.value):
            kept |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return kept


def suppresses(node: ast.AST, errors: Set[str]) -> bool:
    """Whether the node is a `with` of contextlib.suppress that names one of these errors."""
    items = node.items if isinstance(node, ast.With) else ()
    calls = (item.context_expr for item in items if isinstance(item.context_expr, ast.Call))
    return any("suppress" in names(call.func) and errors & {*names(call)} for call in calls)


def names(node: ast.AST) -> list[str]:
    """Names and attributes that occur in a node."""
    return [getattr(inner, "id", getattr(inner, "attr", "")) for inner in ast.walk(node)]


def foreign(path: str) -> bool:
    """Whether that is an absolute path, and in no folder that the server has too."""
    return ABSOLUTE.match(path) is not None and not f"{path}/".startswith(OF_EVERY_SERVER)


def elsewhere(tree: ast.Module, lacks: Callable[[str], bool] = foreign) -> set[ast.AST]:
    """Nodes that run only where a path is there that the server `lacks`, with the question for it; where it is not, others run."""
    paths = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    bodies: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.IfExp):
            test, branch = node.test, node.body
            if denied := isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
                test, branch = test.operand, node.orelse
            if _asks_elsewhere(test, paths, lacks):
                bodies += branch if isinstance(branch, list) else [branch]
                bodies += () if denied else [test]
    return _inner(bodies)


def _asks_elsewhere(test: ast.expr, paths: Mapping[str, ast.expr], lacks: Callable[[str], bool]) -> bool:
    """Whether the answer is yes only where a path is there that the server lacks. `paths`: what names stand for."""
    if isinstance(test, ast.Name):  # COLAB = os.path.exists("/content")
        test = paths.get(test.id, test)
    if isinstance(test, ast.BoolOp):
        enough = any if isinstance(test.op, ast.And) else all
        return enough(_asks_elsewhere(value, paths, lacks) for value in test.values)
    if not (isinstance(test, ast.Call) and getattr(test.func, "attr", getattr(test.func, "id", "")) in EXISTS):
        return False
    named = (paths[name.id] for name in ast.walk(test) if isinstance(name, ast.Name) and name.id in paths)
    texts = (one.value for asked in (test, *named) for one in ast.walk(asked) if isinstance(one, ast.Constant))
    return any(lacks(text) for text in texts if isinstance(text, str))


def catches(handler: ast.ExceptHandler, errors: Set[str]) -> bool:
    """Whether the handler names one of these errors, or is for all."""
    if handler.type is None:
        return True
    return not errors.isdisjoint(names(handler.type))


def _forgives(handler: ast.ExceptHandler) -> bool:
    """Whether the handler catches what a missing name, module or file raises, and does not raise it again."""
    return catches(handler, FORGIVEN) and not isinstance(handler.body[-1], ast.Raise)


def _by_name(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions that run only where their name is mentioned: no methods of a class with bases, `predict`, `__init__`, decorated ones."""
    methods = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for child in node.body
        if node.bases or node.keywords or (name := getattr(child, "name", "")).startswith("__") or name == "predict"
    }
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node not in methods and not node.decorator_list
    ]


def never_called(tree: ast.Module, used: Set[str]) -> set[ast.AST]:
    """Nodes of functions whose name is not in `used`; not what others may call (`_by_name`)."""
    return _inner(child for function in _by_name(tree) if function.name not in used for child in function.body)
