"""Which files of the zip its source names, and whether it surely loads them whole. Read, never run."""

import ast
import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from build.score.lint import reached

WEIGHTS_ONLY = frozenset({"load_weights"})
"""Last names of calls that read arrays alone, which any Keras reads as any other wrote them."""
HARMLESS = reached.EXISTS | {"print", "debug", "info", "warn", "warning", "error"} | WEIGHTS_ONLY
"""Those that build nothing of the file."""
ERRORS = ("Error", "Exception", "Warning")
"""How the names of further ones end."""
PASS_ON = frozenset(
    {"Path", "PurePath", "join", "joinpath", "str", "fspath", "resolve", "absolute", "abspath", "realpath", "expanduser", "as_posix"}
    | {"list", "tuple", "sorted", "enumerate", "zip", "format"}
)  # fmt: skip
"""Those that make another path of it, or a list of paths."""
CARRIERS = (
    ast.BinOp, ast.BoolOp, ast.IfExp, ast.JoinedStr, ast.FormattedValue, ast.List, ast.Tuple, ast.Set, ast.Starred, ast.Subscript,
)  # fmt: skip
"""Expressions whose value is, or holds, that of their parts."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Names:
    """What the source says of files: one that it does not name is most likely not read, so that a newer one does no harm."""

    def __init__(self, trees: Iterable[ast.Module]):
        trees = list(trees)
        self.parents = {
            child: node for tree in trees for node in ast.walk(tree) for child in ast.iter_child_nodes(node)
        }
        used = reached.used(trees)
        self.unsure: set[ast.AST] = set()
        """Nodes that do not surely run."""
        for tree in trees:
            self.unsure |= reached.guarded(tree) | reached.elsewhere(tree) | reached.never_called(tree, used)
        self.uses: dict[str, list[ast.AST]] = defaultdict(list)
        """Name of a variable, last and whole name of an attribute -> where it is read."""
        self.texts: dict[str, list[ast.AST]] = defaultdict(list)
        """Every text of the code, an f-string's values as * -> where it stands. No comments, and no docstrings."""
        for node, parent in self.parents.items():
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                for name in {_last(node), _whole(node)} - {"path" if _whole(node) == "os.path" else ""}:
                    self.uses[name].append(node)
            elif (said := _said(node)) and not isinstance(parent, ast.Expr):
                self.texts[said].append(node)

    def _loads(self, text: ast.AST) -> bool:
        """Whether the value of `text` may go to what loads a file whole, in a line that surely runs: wherever nothing else is seen."""
        waiting, seen = [text], set()
        while waiting:
            node = waiting.pop()
            if node in seen or node in self.unsure:
                continue
            seen.add(node)
            parent = self.parents.get(node)
            if isinstance(parent, ast.keyword):
                parent = self.parents[parent]
            if isinstance(parent, ast.Attribute):  # (HERE / "w.keras").exists()
                call = self.parents.get(parent)
                asked = isinstance(call, ast.Call) and call.func is parent
                called, parent = (parent.attr, call) if asked else ("", parent)
            else:
                called = _last(parent.func) if isinstance(parent, ast.Call) else ""
            if called in HARMLESS or called.endswith(ERRORS):
                continue
            if called in PASS_ON or isinstance(parent, CARRIERS):
                waiting.append(parent)
            elif uses := self._uses_of_targets(node, parent):
                waiting += uses
            else:
                return True
        return False

    def _uses_of_targets(self, node: ast.AST, parent: ast.AST | None) -> list[ast.AST]:
        """Where the names are read that get the value of `node` by an assignment or a loop; empty where `parent` is none of these."""
        if isinstance(parent, ast.Assign | ast.AnnAssign):
            targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
        elif isinstance(parent, ast.For | ast.comprehension) and node is parent.iter:
            targets = [parent.target]
        else:
            return []
        found: list[ast.AST] = []
        for target in targets:
            named = [one for one in ast.walk(target) if isinstance(getattr(one, "ctx", None), ast.Store)]
            if not all(isinstance(one, ast.Name | ast.Attribute | ast.Tuple | ast.List) for one in named):
                return []
            for one in named:
                function = self._function(one)
                if isinstance(one, ast.Attribute):
                    found += self.uses[_whole(one)]
                elif isinstance(one, ast.Name) and function:  # a variable of its own
                    uses = (use for use in self.uses[one.id] if isinstance(use, ast.Name))
                    found += [use for use in uses if function in self._around(use)]
                elif isinstance(one, ast.Name):
                    found += self.uses[one.id]
        return found

    def _around(self, node: ast.AST) -> Iterator[ast.AST]:
        while node := self.parents.get(node):
            yield node

    def _function(self, node: ast.AST) -> ast.AST | None:
        """The innermost function around a node."""
        return next((one for one in self._around(node) if isinstance(one, FUNCTIONS)), None)

    def loads(self, member: str) -> bool:
        """Whether the source may load the file `member` of the zip whole; not where it is not named, or its arrays alone are read."""
        return any(any(map(self._loads, nodes)) for text, nodes in self.texts.items() if _means(text, member))


def _said(node: ast.AST) -> str:
    """A literal text, the values of an f-string as *; empty for all else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_said, node.values))
    if isinstance(node, ast.FormattedValue):
        return "*"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _last(node: ast.AST) -> str:
    """The last name of a name or attribute chain."""
    return getattr(node, "attr", getattr(node, "id", ""))


def _whole(node: ast.AST) -> str:
    """ "self.path" of an attribute of a plain name; the last name of any other."""
    of = node.value if isinstance(node, ast.Attribute) else None
    return f"{of.id}.{node.attr}" if isinstance(of, ast.Name) else _last(node)


def _means(text: str, member: str) -> bool:
    """Whether a text is the name of the file `member`, or its stem, its suffix, a pattern of it, or holds the name as a word."""
    name = member.rpartition("/")[2]
    # A whole word: w.keras is no part of new-w.keras.
    if re.search(rf"(?<![\w-]){re.escape(name)}", text):
        return True
    pattern = re.split(r"[/\\]", text)[-1]
    if pattern in ("*", ""):
        return False
    # A suffix by itself is what a loop over the folder looks for.
    ends = pattern[0] == "." and name.endswith(pattern)
    return ends or pattern == name.rpartition(".")[0] or fnmatch.fnmatch(name, pattern)
