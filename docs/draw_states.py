"""Draw images/states.svg from the moves in django_jobs/states.py. Run it after a change there.

What is drawn, and the names on the arrows, come from the code. Where it stands is said here: a move between two states
that had none before needs a place among the routes.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path

from django_jobs.states import ENDED, MOVES, Move, State

PICTURE = Path(__file__).resolve().parent / "images" / "states.svg"
SIZE = (980, 440)
HALF_WIDTH, HALF_HEIGHT, LINE_HEIGHT = 62, 23, 19

# The picture brings its own background, for a page may be dark where the reader's system is light.
STYLE = """\
  svg { --paper: #ffffff; --ink: #1f2933; --line: #616e7c; --node: #f5f7fa; --good: #1b7f3b; --bad: #ba2525 }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #1b1f24; --ink: #e4e7eb; --line: #9aa5b1; --node: #2a3038; --good: #57d27f; --bad: #ff8a8a }
  }
  text { font: 15px system-ui, sans-serif; fill: var(--ink); text-anchor: middle }
  .paper { fill: var(--paper) }
  .group { fill: none; stroke: var(--line); stroke-dasharray: 4 4 }
  .node { fill: var(--node); stroke: var(--line); stroke-width: 1.5 }
  .successful { stroke: var(--good) }
  .failed { stroke: var(--bad) }
  .state { font-weight: 600 }
  .arrow { fill: none; stroke: var(--line); stroke-width: 1.5; stroke-linejoin: round }
  .head { fill: var(--line) }
"""

PLACES = {
    State.BLOCKED: (90, 190),
    State.READY: (330, 190),
    State.RUNNING: (610, 190),
    State.SUCCESSFUL: (880, 140),
    State.FAILED: (880, 215),
    State.CANCELLED: (880, 290),
}
# Around the states that ended: left, top, right, bottom.
ENDED_BOX = (798, 100, 962, 330)
BIRTH = (296, 102)


@dataclass(frozen=True, slots=True)
class Route:
    """The corners of an arrow, and where the first line of its label stands."""

    corners: tuple[tuple[int, int], ...]
    label: tuple[int, int]
    names_in_line: int = 4


ROUTES = {
    ((State.BLOCKED,), State.READY): Route(((152, 190), (268, 190)), (210, 180)),
    ((State.READY,), State.RUNNING): Route(((392, 180), (548, 180)), (470, 170)),
    ((State.RUNNING,), State.READY): Route(((548, 202), (392, 202)), (470, 224), names_in_line=2),
    ((State.RUNNING,), State.SUCCESSFUL): Route(((672, 180), (818, 142)), (730, 145)),
    ((State.RUNNING,), State.FAILED): Route(((672, 198), (818, 213)), (745, 226)),
    ((State.RUNNING,), State.CANCELLED): Route(((610, 213), (610, 280), (818, 280)), (715, 272)),
    ((State.READY,), State.CANCELLED): Route(((330, 213), (330, 300), (818, 300)), (450, 292)),
    ((State.BLOCKED,), State.CANCELLED): Route(((90, 213), (90, 360), (880, 360), (880, 313)), (210, 352)),
    (ENDED, State.READY): Route(((880, 100), (880, 52), (356, 52), (356, 167)), (618, 44)),
}


def picture() -> str:
    """Return what states.svg must say."""
    width, height = SIZE
    left, top, right, bottom = ENDED_BOX
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img">',
            "<title>The states of a job and the moves between them</title>",
            f"<desc>{escape(spoken())}</desc>",
            f"<style>\n{STYLE}</style>",
            '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            '<path class="head" d="M0 0 8 4 0 8z"/></marker>',
            f'<rect class="paper" width="{width}" height="{height}" rx="8"/>',
            f'<rect class="group" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" rx="12"/>',
            *(arrow(route, moves) for route, moves in routed()),
            birth(),
            *(node(state) for state in State),
            text((width // 2, height - 28), "* becomes cancelled instead, if somebody asked for that in the meantime"),
            "</svg>\n",
        )
    )


def spoken() -> str:
    """Return the moves as a text, for those who do not see the picture."""
    return " ".join(f"{move.name}: {', '.join(move.sources)} to {move.target}." for move in MOVES)


def routed() -> list[tuple[Route, list[Move]]]:
    """Return each arrow with the moves that go along it. Raises KeyError for a move that has no route."""
    along: dict[Route, list[Move]] = {}
    for move in MOVES:
        starts = [ENDED] if move.sources == ENDED else [(source,) for source in move.sources]
        for start in starts:
            along.setdefault(ROUTES[start, move.target], []).append(move)
    return list(along.items())


def arrow(route: Route, moves: list[Move]) -> str:
    names = [f"{move.name}{'*' if move.yields_to_cancel else ''}" for move in moves]
    lines = [names[start : start + route.names_in_line] for start in range(0, len(names), route.names_in_line)]
    x, y = route.label
    labels = [text((x, y + LINE_HEIGHT * number), " · ".join(line)) for number, line in enumerate(lines)]
    return "\n".join([path(route.corners), *labels])


def birth() -> str:
    x, y = BIRTH
    end = PLACES[State.READY][1] - HALF_HEIGHT
    return "\n".join(
        (f'<circle class="head" cx="{x}" cy="{y}" r="5"/>', path((BIRTH, (x, end))), text((x - 42, y + 5), "enqueue"))
    )


def path(corners: tuple[tuple[int, int], ...]) -> str:
    points = " ".join(f"{x},{y}" for x, y in corners)
    return f'<polyline class="arrow" points="{points}" marker-end="url(#head)"/>'


def node(state: State) -> str:
    x, y = PLACES[state]
    return (
        f'<rect class="node {state}" x="{x - HALF_WIDTH}" y="{y - HALF_HEIGHT}" width="{2 * HALF_WIDTH}" '
        f'height="{2 * HALF_HEIGHT}" rx="8"/>\n{text((x, y + 5), state, "state")}'
    )


def text(place: tuple[int, int], words: str, kind: str = "label") -> str:
    x, y = place
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(words)}</text>'


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture())
