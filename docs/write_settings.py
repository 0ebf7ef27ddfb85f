"""Write settings.md from the dataclass in django_jobs/conf.py. Run it after a change there."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "django_jobs" / "conf.py"
PAGE = ROOT / "docs" / "settings.md"

HEAD = """\
# Settings

Which settings are there, and what holds if you say nothing? All of them are optional and stand in one dictionary,
`DJANGO_JOBS`. Times are in seconds, sizes in bytes. A name that does not exist is an error, and so is a value that
cannot work. `manage.py check` says so, and what you may have meant; [checks](checks.md) lists all that it tells.

```python
DJANGO_JOBS = {
    "TRANSPORT": "redis://localhost:6379/0",
    "QUEUES": {"mail": {"MAX_ATTEMPTS": 5}},
}
```

A URL says all about the transport, password and options included, so one variable of the environment is enough:

```python
import os

DJANGO_JOBS = {"TRANSPORT": os.environ.get("REDIS_URL", "database:")}
```

In tests `override_settings(DJANGO_JOBS={...})` holds at once, for every setting. It replaces the whole dictionary. A
change inside of it, `settings.DJANGO_JOBS["QUEUES"] = ...`, is not noticed. Workers are other processes and read their
settings when they start.

<!-- Below: written by write_settings.py from django_jobs/conf.py. -->
"""


def page() -> str:
    """Return what settings.md must say."""
    source = SOURCE.read_text()
    (settings,) = (
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "JobsSettings"
    )
    fields = [node for node in settings.body if isinstance(node, ast.AnnAssign)]
    lines = source.splitlines()
    sections: list[tuple[str, list[ast.AnnAssign]]] = []
    for field in fields:
        comment = comment_above(lines, field.lineno)
        if comment:
            sections.append((comment, [field]))
        else:
            # One comment may speak for several settings.
            sections[-1][1].append(field)
    return "\n".join([HEAD, *(section(comment, group) for comment, group in sections)])


def comment_above(lines: list[str], number: int) -> str:
    """Return the comment that ends just above a line, as one text."""
    words: list[str] = []
    for line in reversed(lines[: number - 1]):
        if not line.lstrip().startswith("#"):
            break
        words.insert(0, line.lstrip().removeprefix("#").strip())
    return " ".join(words)


def section(comment: str, fields: list[ast.AnnAssign]) -> str:
    names = ", ".join(f"`{ast.unparse(field.target)}`" for field in fields)
    defaults = ", ".join(f"`{default(field)}`" for field in fields)
    text = comment.replace("<", "&lt;")
    return f"## {names}\n\nDefault: {defaults}\n\n{text}\n"


def default(field: ast.AnnAssign) -> str:
    assert field.value is not None
    value = field.value
    if isinstance(value, ast.Call):
        (factory,) = value.keywords
        # field(default_factory=dict), or a lambda with what it returns.
        return ast.unparse(factory.value.body if isinstance(factory.value, ast.Lambda) else ast.Dict([], [])).replace(
            "'", '"'
        )
    return ast.unparse(value).replace("'", '"')


if __name__ == "__main__":
    PAGE.write_text(page())
