"""An experiment as a picture: latency over time, one small panel a proxy, as SVG text. Pure.

All panels have the same scales, so that they compare at a glance. The colours follow what the reader's system
prefers, light or dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

from bench.resilience.figures import Figures, Second
from bench.resilience.scenario import Scenario

WIDTH, LEFT, RIGHT = 860, 62, 24
TOP, PANEL, GAP, BOTTOM = 62, 96, 40, 52

_STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.head { font-size: 14px; font-weight: 600; }
.name { font-weight: 600; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.paper { fill: #ffffff; }
.grid { stroke: #d1d9e0; }
.slow { fill: #d1d9e0; fill-opacity: 0.4; }
.p50, .p99 { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.p50 { stroke: #0969da; }
.p99 { stroke: #9a6700; }
.bad { fill: #cf222e; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .paper { fill: #0d1117; }
  .grid { stroke: #3d444d; }
  .slow { fill: #3d444d; }
  .p50 { stroke: #4493f8; }
  .p99 { stroke: #d29922; }
  .bad { fill: #f85149; }
}"""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where seconds and milliseconds lie in a panel; latency is logarithmic, from *low* to *high* ms."""

    seconds: float
    low: float
    high: float

    def x(self, second: float) -> float:
        """Pixels from the left."""
        return LEFT + (WIDTH - LEFT - RIGHT) * second / self.seconds

    def y(self, milliseconds: float) -> float:
        """Pixels from the panel's top."""
        part = log10(max(milliseconds, self.low) / self.low) / log10(self.high / self.low)
        return PANEL * (1.0 - min(part, 1.0))

    def ticks(self) -> list[float]:
        """The powers of ten in the panel."""
        return [10.0**power for power in range(floor(log10(self.low)), 6) if self.low <= 10.0**power <= self.high]


def picture(scenario: Scenario, results: Mapping[str, Figures]) -> str:
    """The SVG document; *results* are by the name of the proxy, one at least."""
    height = TOP + len(results) * (PANEL + GAP) + BOTTOM - GAP
    scale = _scale(scenario, [second for it in results.values() for second in it.by_second])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
    title = escape(scenario.title)
    parts = [head, f"<title>{title}</title>", f"<style>{_STYLE}</style>"]
    parts.append(f'<rect class="paper" width="{WIDTH}" height="{height}"/>')
    parts.append(f'<text class="head" x="{LEFT}" y="20">{title}</text>')
    for number, (name, it) in enumerate(results.items()):
        last = number == len(results) - 1
        panel = [*_frame(scenario, scale, last=last), *_curves(scale, it.by_second), _caption(name, it)]
        top = TOP + number * (PANEL + GAP)
        parts += [f'<g transform="translate(0 {top})">', *panel, "</g>"]
    parts.append(_legend(scenario, height - 8))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _scale(scenario: Scenario, seconds: Sequence[Second]) -> Scale:
    low = max(1.0, min(second.p50_ms for second in seconds))
    high = max(second.p99_ms for second in seconds)
    return Scale(scenario.seconds, 10.0 ** floor(log10(low)), max(high, 10.0 * low) * 1.2)


def _frame(scenario: Scenario, scale: Scale, *, last: bool) -> list[str]:
    parts = []
    if scenario.slowness is not None:
        start, end = scale.x(scenario.slow_from), scale.x(scenario.slow_until)
        parts.append(f'<rect class="slow" x="{start:.1f}" y="0" width="{end - start:.1f}" height="{PANEL}"/>')
    for tick in scale.ticks():
        y, label = scale.y(tick), f"{tick:g} ms" if tick < 1000 else f"{tick / 1000:g} s"
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="end" x="{LEFT - 6}" y="{y + 4:.1f}">{label}</text>')
    parts.append(f'<path class="grid" d="M{LEFT} {PANEL}H{WIDTH - RIGHT}"/>')
    if last:
        parts += [
            f'<text class="middle" x="{scale.x(second):.1f}" y="{PANEL + 16}">{second:g} s</text>'
            for second in (scale.seconds * part / 4 for part in range(5))
        ]
    return parts


def _curves(scale: Scale, seconds: Sequence[Second]) -> list[str]:
    """The failures as bars from the panel's floor, as high as their part of the requests; then the two lines."""
    parts = []
    width = scale.x(1.0) - scale.x(0.0)
    for second in seconds:
        if second.failures:
            height = max(3.0, PANEL * second.failures / second.requests)
            x, y = scale.x(second.number) + 0.15 * width, PANEL - height
            parts.append(f'<rect class="bad" x="{x:.1f}" y="{y:.1f}" width="{0.7 * width:.1f}" height="{height:.1f}"/>')
    for kind in ("p99", "p50"):
        points = (
            f"{scale.x(min(second.number + 0.5, scale.seconds)):.1f},{scale.y(getattr(second, f'{kind}_ms')):.1f}"
            for second in seconds
        )
        parts.append(f'<polyline class="{kind}" points="{" ".join(points)}"/>')
    return parts


def _caption(name: str, it: Figures) -> str:
    figures = f"{it.success_percent:.2f} % succeeded, p50 {it.p50_ms:.0f} ms, p99 {it.p99_ms:.0f} ms"
    return f'<text x="{LEFT}" y="-8"><tspan class="name">{escape(name)}</tspan>  {figures}</text>'


def _legend(scenario: Scenario, y: int) -> str:
    keys = [
        ("p50", "p50 of each second"),
        ("p99", "p99 of each second"),
        ("bad", "part of the requests that failed"),
    ]
    if scenario.slowness is not None:
        keys.append(("slow", "one backend is slow"))
    parts, x = [], LEFT
    for kind, text in keys:
        if kind.startswith("p"):
            parts.append(f'<path class="{kind}" d="M{x} {y - 4}h22"/>')
        else:
            parts.append(f'<rect class="{kind}" x="{x}" y="{y - 10}" width="22" height="11"/>')
        parts.append(f'<text x="{x + 28}" y="{y}">{text}</text>')
        x += 46 + 6 * len(text)
    return "\n".join(parts)
