"""Writes config/sros2/policy.xml: which node may publish, listen to, answer and ask for what, from the sources of the nodes.

    python docs/sros2.py            # write it (make reference)
    python docs/sros2.py --check    # exit code 1 where it is not what it would write

The format is that of `ros2 security generate_policy` (sros2, policy version 0.2.0): `ros2 security create_permission` and
`generate_artifacts` take it. Each node has an enclave of its own.
"""

import importlib
import sys
import xml.etree.ElementTree as ET

import reference

from spike_ctrl_betaflight.options import BetaflightOptions
from spike_ctrl_uxrce import px4_mode, uxrce

PATH = reference.ROOT / "config" / "sros2" / "policy.xml"
ROOT_ENCLAVE = "/spike_ctrl"
PARAMETER_SERVICES = (
    "describe_parameters", "get_parameter_types", "get_parameters", "get_type_description", "list_parameters",
    "set_parameters", "set_parameters_atomically",
)  # fmt: skip
LIFECYCLE_SERVICES = (
    "change_state", "get_available_states", "get_available_transitions", "get_state", "get_transition_graph",
)  # fmt: skip
LIFECYCLE = ("snn_policy",)
OPERATOR, RECORDER, ONLOOKERS = "flight_operator", "recorder", ("dashboard", "viewer")


def services() -> list[str]:
    """Of the supervisor, for the operator."""
    return [*importlib.import_module("spike_ctrl_flight.supervisor_node").SERVICES, "set_target"]


def rights() -> dict[str, dict[str, list[str]]]:
    """By node: topics it may publish and subscribe to, services it may reply to and request."""
    topics = {topic: (_words(out), _words(into)) for topic, (_, out, into, _) in reference._topics().items()}
    found = {}
    for node in reference.nodes():
        found[node] = {
            "publish": [topic for topic, (out, _) in topics.items() if node in out],
            "subscribe": [topic for topic, (_, into) in topics.items() if node in into or node == RECORDER],
            "reply": [f"{node}/{name}" for name in PARAMETER_SERVICES],
            "request": [],
        }
    for node in LIFECYCLE:
        found[node]["publish"].append(f"{node}/transition_event")
        found[node]["reply"] += [f"{node}/{name}" for name in LIFECYCLE_SERVICES]
    found["vehicle_bridge"]["publish"] += [uxrce.NAMESPACE + topic for topic in (uxrce.PROOF, *uxrce.SET_POINTS.values())]
    for version in ("", "_v1"):  # PX4 1.17 numbers the topics of the arming checks
        found["vehicle_bridge"]["publish"] += [px4_mode.IN + topic + version for topic in px4_mode.SENT]
        found["vehicle_bridge"]["subscribe"] += [px4_mode.OUT + topic + version for topic in px4_mode.HEARD]
    found["vehicle_bridge"]["subscribe"].append(BetaflightOptions().pose)
    found["vehicle_bridge"]["request"].append("engage")
    found["supervisor"]["reply"] += services()
    found["adapter"]["reply"].append("adapt")
    hearing = importlib.import_module("spike_ctrl_view.hearing")
    for node in ONLOOKERS:
        found[node]["subscribe"] += [*hearing.STREAMS, *hearing.STATUS]
    found[OPERATOR]["publish"].append("target")
    found[OPERATOR]["request"] += [*services(), "adapt"]
    for node in found:
        found[node]["publish"] += ["rosout", "parameter_events"]
        found[node]["subscribe"].append("parameter_events")
    return found


def _words(text: str) -> list[str]:
    return text.split(", ")


def policy() -> str:
    root = ET.Element("policy", version="0.2.0")
    enclaves = ET.SubElement(root, "enclaves")
    for node, allowed in sorted(rights().items()):
        enclave = ET.SubElement(enclaves, "enclave", path=f"{ROOT_ENCLAVE}/{node}")
        profile = ET.SubElement(ET.SubElement(enclave, "profiles"), "profile", ns="/", node=node)
        for kind, group, one in (
            ("subscribe", "topics", "topic"), ("publish", "topics", "topic"),
            ("reply", "services", "service"), ("request", "services", "service"),
        ):  # fmt: skip
            if allowed[kind]:
                element = ET.SubElement(profile, group, {kind: "ALLOW"})
                for name in sorted(set(allowed[kind])):
                    ET.SubElement(element, one).text = name
    ET.indent(root)
    note = "<!-- Written by `make reference`; edit the sources instead. -->\n"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{note}{ET.tostring(root, encoding="unicode")}\n'


def main(arguments: list[str]) -> int:
    text = policy()
    if "--check" not in arguments:
        PATH.parent.mkdir(exist_ok=True)
        PATH.write_text(text)
    elif not PATH.is_file() or PATH.read_text() != text:
        print(f"{PATH.relative_to(reference.ROOT)}: not up to date; run: make reference", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
