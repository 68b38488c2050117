"""Syntax that this Python reads and an older one, the server's, does not."""

import ast
import io
import sys
import tokenize

STATEMENTS = {"Match": (3, 10), "TryStar": (3, 11), "TypeAlias": (3, 12)}
"""Class of a statement -> first Python that has it."""


def fault(tree: ast.Module, contents: bytes, python: tuple[int, int]) -> tuple[int, str] | None:
    """(line, reason) of what Python `python` cannot read in a source that this one has parsed into `tree`; None where all is well."""
    if python >= sys.version_info[:2]:
        return None
    try:
        ast.parse(contents, feature_version=python)
    except SyntaxError as error:
        # The parser names the line at which it gave up, which may come much later.
        lines = [node.lineno for node in ast.walk(tree) if _first_python(node) > python]
        return min(lines, default=error.lineno or 0), str(error.msg)
    if python < (3, 12) and (line := nested_quote(contents)):
        return line, "an f-string holds its own quotes, a backslash or a comment in braces"
    return None


def _first_python(node: ast.AST) -> tuple[int, int]:
    """First Python that has this statement, as far as the table tells."""
    return (3, 12) if getattr(node, "type_params", None) else STATEMENTS.get(type(node).__name__, (3, 0))


def nested_quote(contents: bytes) -> int:
    """The line of the first f-string with its own quotes, a backslash or a comment in braces (PEP 701), which `feature_version` lets pass.

    0 where there is none, and where this Python is too old to read such a text itself.
    """
    start, middle, end = (getattr(tokenize, f"FSTRING_{part}", None) for part in ("START", "MIDDLE", "END"))
    if start is None:
        return 0
    open_quotes: list[str] = []
    row = 0  # at which the token before ended; no token says that a backslash ends a line
    try:
        for token in tokenize.tokenize(io.BytesIO(contents).readline):
            if open_quotes and token.start[0] > row:
                return row
            row = token.end[0] + (token.type == tokenize.NL)
            if token.type == end:
                open_quotes.pop()
            elif token.type == start or token.type == tokenize.STRING:
                quote = token.string.lstrip("rRbBfFuUtT")
                quote = quote[:3] if quote[:3] in ('"""', "'''") else quote[:1]
                if any(outer == quote or (len(outer) == 1 and outer in token.string) for outer in open_quotes):
                    return token.start[0]
                if token.type == tokenize.STRING and _breaks(token.string, open_quotes):
                    return token.start[0]
                if token.type == start:
                    open_quotes.append(quote)
            elif token.type == middle:
                outer = open_quotes[:-1]  # of the f-strings in whose braces this one stands
                if _breaks(token.string, outer) or any(quote in token.string for quote in outer):
                    return token.start[0]
            elif open_quotes and (
                token.type == tokenize.COMMENT or (token.type == tokenize.NL and _breaks("\n", open_quotes))
            ):
                return token.start[0]
    except (tokenize.TokenError, SyntaxError, IndexError, SystemError):
        pass  # ast.parse has read it; what the tokenizer alone stumbles over (Python 3.13.5's raises SystemError) is no matter
    return 0


def _breaks(text: str, quotes: list[str]) -> bool:
    """Whether `text` in the braces of f-strings with these quotes has a backslash, or a line's end where one of them has a single line."""
    return bool(quotes) and ("\\" in text or ("\n" in text and min(map(len, quotes)) == 1))
