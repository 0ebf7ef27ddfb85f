"""Measure a Python file: bytes go in, numbers come out."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# What Python says about the style of other people's code is neither for our log nor a reason to fail.
warnings.filterwarnings("ignore", category=SyntaxWarning)
warnings.filterwarnings("ignore", "invalid ", category=DeprecationWarning)

# What can hold a function, a class or an import. Expressions, which are most of a file, cannot.
HOLDERS = (ast.stmt, ast.excepthandler, ast.match_case)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTABLE = (ast.Module, ast.ClassDef, *FUNCTIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    lines: int
    functions: int
    classes: int
    imports: int
    documentable: int
    documented: int


def measure(path: Path, content: bytes) -> Measures:
    """Return the measures of a file. Raises SyntaxError for what is no Python of this interpreter."""
    nodes = list(statements(ast.parse(content, path)))
    documentable = [node for node in nodes if isinstance(node, DOCUMENTABLE)]
    return Measures(
        lines=len(content.splitlines()),
        functions=sum(isinstance(node, FUNCTIONS) for node in nodes),
        classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
        imports=sum(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes),
        documentable=len(documentable),
        documented=sum(ast.get_docstring(node, clean=False) is not None for node in documentable),
    )


def statements(module: ast.Module) -> Iterator[ast.AST]:
    """Yield the module and its statements, however deep."""
    open_nodes: list[ast.AST] = [module]
    while open_nodes:
        node = open_nodes.pop()
        yield node
        open_nodes += (child for child in ast.iter_child_nodes(node) if isinstance(child, HOLDERS))
