"""Writes docs/parameters.md, messages.md, fault_codes.md, flight_settings.md and what_can_fail.md from the sources.

python docs/reference.py            # write them (make reference)
python docs/reference.py --check    # exit code 1 where a page is not what it would write
"""

import ast
import dataclasses
import importlib
import itertools
import math
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from spike_ctrl import launching
from spike_ctrl._files.ranges import span
from spike_ctrl.certification import injected_fault
from spike_ctrl.certification.injected_fault import KINDS, FaultRange
from spike_ctrl.flight import flight_settings
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.flight.flight_settings import FlightSettings

ROOT = Path(__file__).resolve().parents[1]
LAUNCH_FILES = ("sim_train", "flight", "replay")
MESSAGES = ROOT / "src" / "spike_ctrl_msgs"
NOTE = "Written by `make reference`; edit the sources instead.\n"
STREAMS = {  # qos.py, in words; `stream` is a node's own choice
    "STREAM": "best effort, 1",
    "LOCKSTEP": "reliable, 512",
    "STATUS": "reliable, 10",
    "CHECKPOINTS": "reliable, kept, 8",
    "stream": "reliable, 512; in flight best effort, 1",
}

NOT_FLOWN = (
    ("policy", "spikes too seldom or too often, of a hidden layer", "no fault of its own: what matters is the action"),
    ("policy", "another checkpoint answers, or one of another layout", "refused by name and layout, without any motion"),
    ("policy", "any fault in take-off or landing", "it does not fly there, and nobody is held against it"),
    ("guide", "any fault in a landing", "the autopilot lands"),
    ("guide", "a fault that shows only when it must take over", "it takes a second fault: only a `pair` has both"),
    ("link", "damaged, unsigned, replayed or foreign packets", "no bytes are flown here; tests fly them (rows 38 and 39)"),
    ("link", "DDS between the nodes", "flown with real processes (docs/faults.md, level L)"),
    ("state", "slow drifts in take-off, hand-over or landing", "those are over before the drift shows"),
    ("state", "the battery's charge or voltage", "no command depends on it but that of a policy which sees the voltage"),
    ("estimator", "it says that it is surer than it is", "as `state` and `autopilot`, where it says nothing at all"),
    ("clock", "the companion's own clock steps", "all its times are monotonic"),
    ("process", "learner, recorder, ground station", "flown with real processes; no command depends on them"),
    ("operator", "sticks of a remote control", "the simulated vehicle has none; its modes are flown"),
    ("plant", "a collision, a broken frame, ground effect, a load that swings", "not simulated"),
    ("plant", "a battery that fails altogether", "no controller can land without it"),
    ("rotor", "two rotors", "the supervisor looks for one"),
    ("autopilot", "its position and velocity drift together", "nothing on board contradicts it (as `unseen`)"),
    ("autopilot", "its land detector", "PX4 itself disarms by it; unit tests report a landing in the air"),
    ("autopilot", "its rate loop, its mixer, its own modes", "taken for sound: they are the last protection"),
)  # component, what can fail, why no flight has it
COMPONENTS = {
    "policy": "The policy's answers", "guide": "The guide's answers", "link": "The link, by its direction",
    "process": "Processes of the companion", "operator": "The operator, and a pilot", "state": "The state, by its fields",
    "plant": "The plant, its rotors and the air", "unseen": "The state, in agreement with itself",
    "estimator": "Events of the estimator", "clock": "The vehicle's clock", "autopilot": "The autopilot's own estimate",
    "rotor": "A rotor, where it is asked for", "stuck": "A rotor that keeps to a speed, where it is asked for",
    "thrown": "A blow or a throw, where it is asked for",
}  # fmt: skip

HOSTS = {"spike_ctrl_fleet": "spike_ctrl_flight.supervisor_node"}  # packages whose objects a node of another package makes


def nodes() -> dict:
    """Modules of all nodes by their name, as the packages' entry points name them."""
    found = {}
    for package in sorted(ROOT.glob("src/spike_ctrl_*/pyproject.toml")) + sorted(ROOT.glob("plug_ins/*/pyproject.toml")):
        for name, module in re.findall(r'^(\w+) = "([\w.]+):main"', package.read_text(), re.MULTILINE):
            found[name] = importlib.import_module(module)
    return found


# --- parameters -----------------------------------------------------------------------------------------------------


def parameters_page() -> str:
    lines = ["# Parameters\n", NOTE]
    lines.append(
        "Launch arguments are given as `NAME:=VALUE` and set the parameters of the nodes that a launch file starts.\n"
        "Unknown names, wrong types and values out of range end a node with exit code 2 and one line that names them.\n"
    )
    for name in LAUNCH_FILES:
        path = ROOT / "launch" / f"{name}.launch.py"
        lines += [f"## {name}.launch.py\n", f"{ast.get_docstring(ast.parse(path.read_text()))}\n"]
        rows = [
            (f"`{a.name}`", _default(a.default_value), ", ".join(f"`{c}`" for c in a.choices or ()), a.description or "")
            for a in launching.arguments(path)
        ]
        lines += _table(("argument", "default", "choices", "meaning"), rows)
    for name, module in nodes().items():
        lines += [f"## {name}\n", f"{_first_paragraph(module.__doc__)}\n"]
        rows = [
            (f"`{f.name}`", type(f.default).__name__, f"`{f.default!r}`" if f.default != "" else "", _range(f.metadata),
             f.metadata["description"])
            for f in dataclasses.fields(_parameters(module))
        ]  # fmt: skip
        lines += _table(("parameter", "type", "default", "range", "meaning"), rows)
    return "\n".join(lines)


def _parameters(module) -> type:
    """The dataclass of parameters that a node declares."""
    return next(one for name, one in vars(module).items() if name.endswith("Parameters") and dataclasses.is_dataclass(one))


def _default(value) -> str:
    text = None if value is None else "".join(getattr(part, "text", str(part)) for part in value)
    return "required" if text is None else f"`{text}`" if text else ""


def _range(about) -> str:
    if "choices" in about:
        return ", ".join(f"`{choice}`" for choice in about["choices"])
    low, high = about.get("low"), about.get("high")
    return "" if low is None and high is None else f"{span(low, high)} {about.get('unit', '')}".strip()


# --- messages -------------------------------------------------------------------------------------------------------


def messages_page() -> str:
    lines = ["# Messages and topics\n", NOTE]
    lines.append(
        "Names are relative to the namespace of the nodes. Frames follow REP-103: the world `odom` is ENU, the body FLU;\n"
        "SI units; quaternions x, y, z, w. `header.stamp` is the time of the sample.\n"
    )
    lines.append("## Topics\n")
    rows = [(f"`{topic}`", *cells) for topic, cells in sorted(_topics().items())]
    lines += _table(("topic", "type", "published by", "subscribed by", "QoS: reliability, depth"), rows)
    recorder = importlib.import_module("spike_ctrl_record.recorder_node")
    others = ", ".join(f"`{name}`" for name in sorted(_topics().keys() - {*recorder.KNOWN, *recorder.FLIGHT}))
    lines.append(
        f"The recorder listens to all of them as their publishers speak, except for {others}, which its parameter\n"
        "`topics` can name: spikes are what a replay computes again.\n"
    )
    lines.append("## Services of the supervisor\n")
    services = importlib.import_module("spike_ctrl_flight.supervisor_node").SERVICES
    rows = [(f"`{name}`", "`std_srvs/Trigger`") for name in services]
    lines += _table(("service", "type"), [*rows, ("`set_target`", "[SetTarget](#settarget)")])
    for path in sorted([*MESSAGES.glob("msg/*.msg"), *MESSAGES.glob("srv/*.srv")]):
        lines += _definition(path)
    return "\n".join(lines)


def _topics() -> dict[str, tuple[str, str, str, str]]:
    """Type, publishers, listeners and QoS of each topic, from the calls in the sources of the nodes."""
    found: dict[str, list] = {}
    for node, path, call, loop in _calls():
        kind, topic, *rest = call.args
        listens = call.func.attr == "create_subscription"
        for name in _names(topic, loop, path):
            entry = found.setdefault(name, ["", [], [], set()])
            entry[0] = _type(kind.id)
            entry[2 if listens else 1].append(node)
            profile = rest[1] if listens else rest[0]
            entry[3].add(profile.attr if isinstance(profile, ast.Attribute) else profile.id)
    return {
        topic: (kind, ", ".join(dict.fromkeys(out)) or "any node", ", ".join(dict.fromkeys(into)) or "tools", _qos(profiles))
        for topic, (kind, out, into, profiles) in found.items()
    }


def _qos(profiles: set[str]) -> str:
    return STREAMS[profiles.pop() if len(profiles) == 1 else "stream"]


def _calls():
    """(node, file, call, for-loop around it) of everything that is published and listened to by the nodes."""
    known = {module.__name__: name for name, module in nodes().items()}
    for path in sorted(ROOT.glob("src/spike_ctrl_*/spike_ctrl_*/*.py")) + sorted(ROOT.glob("plug_ins/*/spike_ctrl_*/*.py")):
        own = f"{path.parent.name}.{path.stem}"
        package = [module for module in known if module.split(".")[0] == path.parent.name]
        importing = [module for module in package if f"from {own} import" in Path(find_spec(module).origin).read_text()]
        package = package or [HOSTS[name] for name in [path.parent.name] if name in HOSTS]
        nodes_here = [own] if own in known else importing or (package if len(package) == 1 else [])
        tree = ast.parse(path.read_text())
        loops = {id(inner): loop for loop in ast.walk(tree) if isinstance(loop, ast.For) for inner in ast.walk(loop)}
        for call in ast.walk(tree):
            named = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
            if named and call.func.attr in ("create_publisher", "create_subscription"):
                if isinstance(call.args[0], ast.Name) and call.args[0].id != "kind":  # the recorder's: any type
                    for module in nodes_here:
                        yield known[module], path, call, loops.get(id(call))


def _names(topic, loop, path: Path) -> list[str]:
    """The topic, or those of the module's dictionary that is looped over."""
    if isinstance(topic, ast.Constant):
        return [topic.value]
    if isinstance(topic, ast.JoinedStr):  # of another namespace
        return [topic.values[-1].value.lstrip("/")]
    over = loop.iter.func.value if isinstance(loop.iter, ast.Call) else loop.iter
    return list(getattr(importlib.import_module(f"{path.parent.name}.{path.stem}"), over.id))


def _type(name: str) -> str:
    if (MESSAGES / "msg" / f"{name}.msg").is_file():
        return f"[{name}](#{name.lower()})"
    return f"`{name}`"


def _definition(path: Path) -> list[str]:
    """A message or service: what it is, its constants, its fields with their units."""
    head, constants, fields = [], [], []
    for line in path.read_text().splitlines():
        code, _, comment = (part.strip() for part in line.partition("#"))
        if not code:
            head += [comment] if comment and not fields and not constants else []
        elif code == "---":
            fields.append(("", "", "**answer**"))
        elif "=" in code:
            kind, name, value = re.fullmatch(r"(\S+)\s+(\w+)\s*=\s*(.+)", code).groups()
            constants.append((f"`{name}`", value, comment))
        else:
            kind, name = code.split()
            fields.append((f"`{name}`", f"`{kind}`", comment))
    lines = [f"## {path.stem}\n", " ".join(head) + "\n"]
    lines += _table(("constant", "value", "meaning"), constants) if constants else []
    return lines + _table(("field", "type", "meaning"), fields)


# --- faults ----------------------------------------------------------------------------------------------------------


def faults_page() -> str:
    lines = ["# Faults\n", NOTE]
    lines.append(
        "The faults of a flight, and who flies after each. `rows` are those of [the fault table](faults.md), with the\n"
        "proofs. Of several faults the one with the lowest rung decides. The supervisor steps down by itself, and up only\n"
        "when the operator asks. `SILENT`: no commands are sent; the autopilot's own failsafe or a pilot flies.\n"
    )
    rows = [(f.number, f"`{f.name}`", f.meaning, _then(f), ", ".join(map(str, f.rows))) for f in Fault]
    lines += _table(("number", "fault", "meaning", "then", "rows"), rows)
    return "\n".join([*lines, ""])


def _then(fault: Fault) -> str:
    if fault.rung is None:
        return "reported; bars an engagement" if fault.blocks else "reported and counted"
    return f"{fault.rung.name}, then {Rung.HOLD.name}" if fault.settles else fault.rung.name


# --- what can fail ---------------------------------------------------------------------------------------------------


def what_can_fail_page() -> str:
    lines = ["# What can fail\n", NOTE]
    lines.append(
        "The table from which `spike-ctrl certify` draws the fault of a flight ([safety](safety.md)), by component. Each\n"
        "size is drawn uniformly. Without a time a fault lasts to the end of its flight. `flown on`: the flight goes on so\n"
        "long after its begin. `row`: of [the fault table](faults.md) that it strikes in motion. Any plant, cage and\n"
        "airframe may meet each of them. A pair is two faults in one flight. The last table names what no flight has,\n"
        "and why.\n"
    )
    for place, kinds in KINDS.items():
        rows = [(f"`{kind}`", *_drawn(place, kind, found)) for kind, found in sorted(kinds.items())]
        head = ("kind", "size", "lasts, s", "phases", "flown on, s", "row")
        lines += [f"## `{place}`: {COMPONENTS[place][0].lower()}{COMPONENTS[place][1:]}\n", *_table(head, rows)]
    lines += ["## Not flown\n", *_table(("component", "what can fail", "why no flight has it"), NOT_FLOWN)]
    return "\n".join(lines)


def _drawn(place: str, kind: str, found: FaultRange) -> tuple:
    phases = injected_fault.phases(place, kind)
    size = f"{found.size[0]:g} to {found.size[1]:g} {found.unit}" if any(found.size) else found.unit
    lasts = "" if math.isinf(found.lasts[1]) else f"{found.lasts[0]:g} to {found.lasts[1]:g}"
    where = "all" if phases == injected_fault.PHASES else ", ".join(phases)
    return size.strip(), lasts, where, f"{found.after:g}", "" if found.row is None else found.row


# --- settings of a flight --------------------------------------------------------------------------------------------


def settings_page() -> str:
    lines = ["# Settings of a flight\n", NOTE]
    lines.append(
        "The limits by which a flight detects its faults, with their defaults. A value out of its range is refused. Some\n"
        "values follow from the vehicle and from node parameters ([parameters](parameters.md)). A bag holds those of its\n"
        f"flight, in `{flight_settings.TOPIC}`. [Fault codes](fault_codes.md) says who flies after a fault.\n"
    )
    for group, members in itertools.groupby(flight_settings.setting_table(FlightSettings()), lambda one: one.group):
        rows = [(f"`{m.path}`", f"{m.value:.4g}", m.unit, f"{m.low:.4g} to {m.high:.4g}", m.about) for m in members]
        lines += [f"## {group or 'flight'}\n", *_table(("setting", "default", "unit", "range", "meaning"), rows)]
    return "\n".join(lines)


# --- pages ----------------------------------------------------------------------------------------------------------


def _table(head, rows) -> list[str]:
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *cells)] + [""]


def _first_paragraph(text: str) -> str:
    words = " ".join(text.partition("\n\n")[0].split())
    words = words.partition(": ")[2] or words
    return words[0].upper() + words[1:]


PAGES = {"parameters.md": parameters_page, "messages.md": messages_page, "fault_codes.md": faults_page,
         "flight_settings.md": settings_page, "what_can_fail.md": what_can_fail_page}  # fmt: skip


def main(arguments: list[str]) -> int:
    stale = []
    for name, page in PAGES.items():
        path, text = ROOT / "docs" / name, page()
        if "--check" not in arguments:
            path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            stale.append(name)
    if stale:
        print(f"docs/{', docs/'.join(stale)}: not up to date; run: make reference", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
