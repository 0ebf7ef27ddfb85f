"""The chart: how fast each system drained empty jobs, as SVG."""

from html import escape

from tests.benchmarks.summary import Summary
from tests.benchmarks.systems import SYSTEMS

WIDTH, LABELS, NUMBERS = 920, 350, 80
BAR, ROW, TOP, BOTTOM = 11, 36, 54, 14
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #222 } .small { font-size: 11px; fill: #666 }
.one { fill: #7d8ca3 } .two { fill: #b4bfce } .ours .one { fill: #0b7a4b } .ours .two { fill: #63b894 }
line { stroke: #222 }
@media (prefers-color-scheme: dark) {
text { fill: #ddd } .small { fill: #999 } line { stroke: #ddd }
.one { fill: #8b9ab0 } .two { fill: #5c6778 } .ours .one { fill: #3fc48b } .ours .two { fill: #22704f }
}
"""


def draw(summary: Summary) -> str:
    """Return the chart of all systems that drained, each at its best concurrency, in the order of their table."""
    systems = [each for each in SYSTEMS.values() if summary.best_drain(each.key, 1)]
    most = max((_high(summary, each.key) for each in systems), default=1.0)
    height = TOP + ROW * len(systems) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title">',
        f'<title id="title">Empty jobs drained per second</title><style>{STYLE}</style>',
        '<text x="0" y="18">Empty jobs drained per second, each system at its best concurrency</text>',
        '<text class="small" x="0" y="38">Upper bar: one worker process. Lower bar: two. Line: range.</text>',
    ]
    for place, system in enumerate(systems):
        top = TOP + ROW * place
        parts.append(f'<g class="{"ours" if system.is_ours else "peer"}">')
        parts.append(f'<text x="{LABELS - 10}" y="{top + BAR + 5}" text-anchor="end">{escape(system.title)}</text>')
        parts += _bar(summary, system.key, 1, top, most, "one")
        parts += _bar(summary, system.key, 2, top + BAR + 2, most, "two")
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _bar(summary: Summary, system: str, processes: int, top: int, most: float, kind: str) -> list[str]:
    best = summary.best_drain(system, processes)
    if best is None:
        return []
    figure = best[1]
    scale = (WIDTH - LABELS - NUMBERS) / most
    ends = [LABELS + value * scale for value in (figure.low, figure.high, figure.median)]
    middle = top + BAR / 2
    return [
        f'<rect class="{kind}" x="{LABELS}" y="{top}" width="{figure.median * scale:.1f}" height="{BAR}"/>',
        f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text class="small" x="{max(ends) + 6:.1f}" y="{top + BAR - 1}">{figure.median:,.0f}</text>',
    ]


def _high(summary: Summary, system: str) -> float:
    bests = [summary.best_drain(system, processes) for processes in (1, 2)]
    return max(best[1].high for best in bests if best is not None)
