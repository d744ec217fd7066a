"""The bar chart of docs/explanation/performance.md: CPU per request, throughput. Readable on light and dark pages."""

from collections.abc import Mapping, Sequence

from benchmarks.measure import Case, Measurement, Results

OPERATIONS = {
    "get": "get one",
    "list-20": "list of 20",
    "list-100": "list of 100",
    "create": "create",
    "put": "put",
    "complete": "complete",
    "mix": "mix",
}
SERVERS = {
    "ours": "ours",
    "fastify": "Fastify",
    "fastify-cached": "Fastify, cached tokens",
    "litestar": "Litestar",
    "tutorial": "tutorial",
}
WIDTH, LEFT, RIGHT, TOP = 800, 210, 170, 74  # RIGHT: for the figures
BAR, STEP, GAP = 12, 16, 14  # height of a bar, from one to the next, between operations

_STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #57606a; }
  .title { font-size: 15px; font-weight: 600; fill: #1f2328; }
  .operation, .us { font-weight: 600; fill: #1f2328; }
  .server { fill: #8c959f; } .database { fill: #cfd6dd; }
  .ours .server { fill: #0969da; } .ours .database { fill: #86bdf5; }
  .cut { stroke: #ffffff; stroke-width: 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1; }
    .title, .operation, .us { fill: #f0f6fc; }
    .server { fill: #818b98; } .database { fill: #454c54; }
    .ours .server { fill: #4493f8; } .ours .database { fill: #1f4f8f; }
    .cut { stroke: #0d1117; }
  }
"""


def draw(results: Results, connections: int = 32) -> str:
    """An SVG. The bars of the slowest server are cut off, which would make the others too small to compare."""
    groups = {op: _shown(results[Case("near", op, connections)]) for op in OPERATIONS}
    longest = max(measured.total for group in groups.values() for name, measured in group.items() if name != "tutorial")
    scale, y = (WIDTH - LEFT - RIGHT) / (1.12 * longest), TOP
    body: list[str] = []
    for operation, group in groups.items():
        body += _group(operation, group, y, scale)
        y += STEP * len(group) + GAP
    return "\n".join([*_head(y, connections), *body, "</svg>\n"])


def _shown(measured: Mapping[str, Measurement]) -> Mapping[str, Measurement]:
    """Without servers that failed requests, whose figures mean nothing."""
    return {name: measured[name] for name in SERVERS if name in measured and not measured[name].failed}


def _head(height: int, connections: int) -> Sequence[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="0" y="18">Microseconds of CPU for each request, {connections} connections</text>',
        '<g class="ours"><rect class="server" x="0" y="34" width="12" height="12" rx="2"/>',
        '<rect class="database" x="96" y="34" width="12" height="12" rx="2"/></g>',
        '<text x="18" y="44">the server</text><text x="114" y="44">PostgreSQL</text>',
        '<text x="206" y="44">lower is better</text>',
        f'<text x="{WIDTH}" y="44" text-anchor="end">requests/s of one process</text>',
    ]


def _group(operation: str, group: Mapping[str, Measurement], top: int, scale: float) -> Sequence[str]:
    lines = [f'<text class="operation" x="0" y="{top + BAR - 2}">{OPERATIONS[operation]}</text>']
    for number, (name, measured) in enumerate(group.items()):
        lines += _bar(name, measured, top + number * STEP, scale)
    return lines


def _bar(name: str, measured: Measurement, y: int, scale: float) -> Sequence[str]:
    room = WIDTH - LEFT - RIGHT
    cut = measured.total * scale > room
    server = min(measured.server * scale, room - 24 if cut else room)
    database = room - server if cut else measured.database * scale
    whose = "ours" if name == "ours" else "peer"
    end = LEFT + server + database
    emphasis = "us" if name == "ours" else ""
    return [
        f'<text x="{LEFT - 8}" y="{y + BAR - 2}" text-anchor="end" class="{emphasis}">{SERVERS[name]}</text>',
        f'<g class="{whose}"><rect class="server" x="{LEFT}" y="{y}" width="{server:.1f}" height="{BAR}"/>',
        f'<rect class="database" x="{LEFT + server:.1f}" y="{y}" width="{database:.1f}" height="{BAR}"/></g>',
        *([_cut_line(LEFT + server - 30, y)] if cut else []),
        f'<text x="{end + 6:.1f}" y="{y + BAR - 2}" class="{emphasis}">'
        f"{measured.server:.0f} + {measured.database:.0f}</text>",
        f'<text x="{WIDTH}" y="{y + BAR - 2}" text-anchor="end" class="{emphasis}">{measured.throughput:,.0f}</text>',
    ]


def _cut_line(x: float, y: int) -> str:
    return f'<path class="cut" d="M{x:.1f} {y + BAR + 1} l6 -{BAR + 2} m6 0 l-6 {BAR + 2}"/>'
