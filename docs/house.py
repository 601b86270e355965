"""Draws docs/house.svg, the packages floor by floor, from the imports in the sources: `make reference` runs it."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "src" / "spike_ctrl" / "spike_ctrl"
TOP = ("cli", "nodes")
PLUG_INS = {path.parent.name: path for path in sorted(ROOT.glob("plug_ins/*/pyproject.toml"))}
NODES = "spike_ctrl_sim, _guide, _policy, _learner, _flight, _record: the ROS 2 nodes"
ABREAST = 5  # plug-ins in a row
WIDTH, BOX, FLOOR, HIGH = 980, 140, 64, 34
STYLE = """
    .page { fill: #ffffff; stroke: #d9dde3 } .box { fill: #f5f7fa; stroke: #8a94a3 }
    .flight { fill: #eaf2fd; stroke: #2369bd }
    .plug { fill: none; stroke: #8a94a3; stroke-dasharray: 5 4 } .link { fill: none; stroke: #8a94a3; stroke-opacity: .55 }
    .name { font-size: 14px; fill: #1f2430; text-anchor: middle } .note { font-size: 12.5px; fill: #5b6472 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; stroke: #30363d } .box { fill: #161b22; stroke: #6e7681 }
      .flight { fill: #10233d; stroke: #5b9df0 } .name { fill: #e6edf3 } .note { fill: #9aa4b0 }
    }"""
NOTE = (
    "A line leads down to what a package imports, unless it gets there through another. Nodes and plug-ins (dashed) import "
    "any. Blue: flight, and what it stands on."
)


def packages() -> dict[str, Path]:
    """Packages of the library, and its one module that lies in none, by name."""
    found = {path.parent.name: path.parent for path in sorted(LIBRARY.glob("*/__init__.py"))}
    return found | {path.stem: path for path in (LIBRARY / "airframe.py", LIBRARY / "plug_ins.py")}


@cache
def imported(name: str) -> frozenset[str]:
    """The packages of the library that one of it imports, wherever in its files."""
    if name == "nodes" or name in PLUG_INS:
        return frozenset()  # of any of them: no line would tell anything
    place, known, found = packages()[name], packages(), set()
    for file in [place] if place.is_file() else place.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
    return frozenset({text.split(".")[1] for text in found if text.startswith("spike_ctrl.")} & set(known) - {name})


@cache
def floor(name: str) -> int:
    """One above the highest floor of what it imports; 0 for a package that imports none."""
    return 1 + max(map(floor, imported(name)), default=-1)


def direct(name: str) -> set[str]:
    """What a package imports and does not already reach through another that it imports."""
    return {low for low in imported(name) if not any(low in reached(mid) for mid in imported(name) - {low})}


@cache
def reached(name: str) -> frozenset[str]:
    return imported(name).union(*map(reached, imported(name)))


def summary(name: str) -> str:
    """What a box is: the first line of a package's docstring, or a plug-in's description."""
    if name in PLUG_INS:
        return re.search(r'^description = "(.*)"$', PLUG_INS[name].read_text(), re.MULTILINE)[1]
    if name == "nodes":
        return NODES
    place = packages()[name]
    text = ast.get_docstring(ast.parse((place if place.is_file() else place / "__init__.py").read_text()))
    return (text or name).partition("\n")[0]


def svg() -> str:
    names = [name for name in packages() if name not in TOP]
    floors = [[name for name in names if floor(name) == level] for level in range(max(map(floor, names)) + 1)] + [list(TOP)]
    added = list(PLUG_INS)
    floors += [added[i : i + ABREAST] for i in range(0, len(added), ABREAST)][::-1]
    height = FLOOR * len(floors) + 60
    place = {  # middle of each box
        name: (WIDTH * (i + 1) / (len(row) + 1), height - 56 - FLOOR * level)
        for level, row in enumerate(floors)
        for i, name in enumerate(row)
    }
    parts = [f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="12"/>']
    for name, (x, y) in place.items():
        for low in sorted(direct(name)):
            to, down = place[low]
            bend = f"{x:.0f} {y + 36:.0f} {to:.0f} {down - 36:.0f}"
            parts.append(f'<path class="link" d="M{x:.0f} {y + HIGH / 2:.0f} C{bend} {to:.0f} {down - HIGH / 2:.0f}"/>')
    for name, (x, y) in place.items():
        kind = "plug" if name in PLUG_INS else "flight" if name in {"flight", *reached("flight")} else "box"
        about = summary(name).replace("&", "&amp;").replace("<", "&lt;")
        shape = f'x="{x - BOX / 2:.0f}" y="{y - HIGH / 2:.0f}" width="{BOX}" height="{HIGH}" rx="7"'
        parts.append(f'<g><title>{about}</title><rect class="{kind}" {shape}/>')
        parts.append(f'<text class="name" x="{x:.0f}" y="{y + 5:.0f}">{name}</text></g>')
    parts.append(f'<text class="note" x="20" y="{height - 14}">{NOTE}</text>')
    size = f'viewBox="0 0 {WIDTH} {height}" role="img" font-family="system-ui, sans-serif"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    title = "<title>The packages of spike_ctrl: imports lead down only</title>"
    return "\n  ".join([head, title, f"<style>{STYLE}\n  </style>", *parts]) + "\n</svg>\n"


if __name__ == "__main__":
    (ROOT / "docs" / "house.svg").write_text(svg())
