"""What the SROS 2 policy file allows the nodes."""

import xml.etree.ElementTree as ET
from pathlib import Path

FLIGHT = ("vehicle_bridge", "guide_policy", "snn_policy", "supervisor")
POLICY = Path(__file__).resolve().parents[2] / "config" / "sros2" / "policy.xml"


def read() -> dict[str, dict[str, set[str]]]:
    """By node: what the policy file allows, as sets of absolute names."""
    found = {}
    for profile in ET.parse(POLICY).iter("profile"):
        allowed = {kind: set() for kind in ("publish", "subscribe", "reply", "request")}
        for element in profile:
            for kind, verdict in element.attrib.items():
                assert verdict == "ALLOW"
                allowed[kind] |= {f"/{name.text.removeprefix('/')}" for name in element}
        found[profile.get("node")] = allowed
    return found
