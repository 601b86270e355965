"""Layouts of Foxglove and PlotJuggler name only topics and fields that there are.

- each topic is one that a node publishes, each path leads to a number (Foxglove: or an array of numbers) of its message
- each panel of the layouts has its settings, and none is left over
- a path that leads nowhere would be found out
"""

import importlib
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from spike_ctrl._files import resources
from spike_ctrl_record import recorder_node

# Topics that the recorder knows by type; flights' are told by their messages' names.
TYPES = {name: kind for name, (kind, _) in recorder_node.KNOWN.items()} | {
    name: getattr(importlib.import_module("spike_ctrl_msgs.msg"), kind)
    for name, kind in {
        "command": "FlightCommand", "supervisor/status": "SupervisorStatus", "flight_state": "FlightState",
        "autopilot": "AutopilotStatus", "set_point": "SetPoint",
    }.items()
}  # fmt: skip
NUMBER = re.compile(r"(u?int\d+|float|double|boolean)$")
ARRAY = re.compile(r"(?:sequence<(?P<many>[\w/]+)(?:, \d+)?>|(?P<few>[\w/]+)\[(?P<count>\d+)\])$")


def problem(topic: str, path: list[str]) -> str:
    """Why a path of fields leads to no number of the topic's message; empty where it does."""
    kind = TYPES.get(topic)
    if kind is None:
        return f"no topic {topic}"
    kind = f"{kind.__module__.split('.')[0]}/{kind.__name__}"
    for step in path:
        name, _, index = step.partition("[")
        package, _, message = kind.partition("/")
        if not message:
            return f"{topic}: {kind} has no field {name}"
        fields = getattr(importlib.import_module(f"{package}.msg"), message).get_fields_and_field_types()
        if name not in fields:
            return f"{topic}: {kind} has no field {name}"
        kind, found = fields[name], ARRAY.match(fields[name])
        if bool(found) != bool(index):
            return f"{topic}: {name} is {kind}"
        if found:
            count = found["count"]
            if count and index != ":]" and not int(index[:-1]) < int(count):
                return f"{topic}: {name} has {count} numbers"
            kind = found["many"] or found["few"]
    return "" if NUMBER.match(kind) else f"{topic}: {kind} is no number"


def foxglove_paths(layout: dict) -> list[str]:
    panels = layout["configById"]
    return [path["value"] for panel in panels.values() for path in panel.get("paths", ())]


def test_foxglove_shows_only_what_there_is():
    layout = json.loads(resources.find("config", "foxglove.json").read_text())
    paths = foxglove_paths(layout)
    found = [problem(topic.lstrip("/"), fields) for topic, *fields in (path.split(".") for path in paths)]
    assert len(paths) > 30 and not [each for each in found if each]
    panels = layout["configById"]
    whole = [*panels["3D!vehicle"]["topics"], panels["RawMessages!supervisor"]["topicPath"]]
    whole.append(panels["DiagnosticSummary!graph"]["topicToRender"])
    assert all(topic.lstrip("/") in TYPES or topic in TYPES for topic in whole)


def test_every_panel_of_foxglove_is_placed_and_has_settings():
    layout = json.loads(resources.find("config", "foxglove.json").read_text())
    placed = set(re.findall(r"[A-Za-z0-9]+![a-z]+", json.dumps([layout["layout"], layout["configById"]["Tab!all"]["tabs"]])))
    assert placed == set(layout["configById"])


def test_plotjuggler_shows_only_what_there_is():
    root = ElementTree.fromstring(resources.find("config", "plotjuggler.xml").read_text())
    curves = [curve.get("name") for curve in root.iter("curve")]
    found = []
    for curve in curves:
        topic = max((name for name in TYPES if curve.startswith(f"/{name}/")), key=len, default="")
        found.append(problem(topic, curve[len(topic) + 2 :].split("/")))
    assert len(curves) > 30 and not [each for each in found if each]
    splitters = list(root.iter("DockSplitter"))
    assert splitters and all(int(s.get("count")) == len(s) == len(s.get("sizes").split(";")) for s in splitters)


@pytest.mark.parametrize(
    ("topic", "path", "why"),
    [
        ("policy/actions", ["action[0]"], "no topic"),
        ("policy/action", ["acton[0]"], "no field acton"),
        ("flight_state", ["position[3]"], "has 3 numbers"),
        ("flight_state", ["position"], "is double[3]"),
        ("supervisor/status", ["reason"], "is no number"),
        ("odometry", ["pose", "pose", "position", "w"], "no field w"),
    ],
)  # fmt: skip
def test_a_path_that_leads_nowhere_is_found_out(topic, path, why):
    assert why in problem(topic, path)


def test_a_path_into_a_standard_message_is_followed():
    assert problem("odometry", ["pose", "pose", "position", "z"]) == ""
