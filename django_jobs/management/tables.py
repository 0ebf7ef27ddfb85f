"""Plain text for terminals: tables and lists of facts. What a job carries cannot steer the terminal."""

from collections.abc import Mapping, Sequence

GAP = "  "


def table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows under their titles, in columns as wide as they need; numbers stand on the right."""
    cells = [list(titles), *([line(each) for each in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    numeric = [bool(rows) and all(isinstance(row[column], int) for row in rows) for column in range(len(titles))]
    return "\n".join(
        GAP.join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    )


def facts(named: Mapping[str, object]) -> str:
    """Return one line for each name and its value."""
    width = max(len(name) for name in named) + 1
    return "\n".join(f"{(name + ':').ljust(width)} {line(value)}".rstrip() for name, value in named.items())


def line(value: object) -> str:
    """Return a value on one line, "-" for nothing, with every control character made visible."""
    text = "-" if value is None or value == "" else str(value)
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def block(text: str, indent: str = "    ") -> str:
    """Return lines, indented, with every other control character made visible."""
    return "\n".join(indent + line(each) if each else "" for each in text.expandtabs(4).split("\n"))
