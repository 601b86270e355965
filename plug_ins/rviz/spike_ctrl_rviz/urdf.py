"""An airframe as URDF, for RViz: one link, base_link, with a body, four arms and four rotors."""

import math
from collections.abc import Sequence
from xml.etree import ElementTree

from spike_ctrl.airframe import Airframe

COLOURS = {"body": (0.25, 0.28, 0.32), "front": (0.14, 0.41, 0.74), "back": (0.60, 0.64, 0.70)}  # red, green, blue
# In lengths of an arm: body forward, left, up; thickness of an arm; radius, height and elevation of a rotor's disc.
BODY, ARM, ROTOR = (0.55, 0.4, 0.16), 0.07, (0.46, 0.03, 0.1)


def urdf(craft: Airframe) -> str:
    """The description, with mass and inertia. Lengths in m, in the body frame FLU; the front is blue."""
    robot = ElementTree.Element("robot", name=craft.name)
    for name, colour in COLOURS.items():
        ElementTree.SubElement(ElementTree.SubElement(robot, "material", name=name), "color", rgba=_row(*colour, 1))
    link = ElementTree.SubElement(robot, "link", name="base_link")
    inertial = ElementTree.SubElement(link, "inertial")
    ElementTree.SubElement(inertial, "mass", value=f"{craft.mass:g}")
    moments = dict(zip(("ixx", "iyy", "izz"), (f"{moment:g}" for moment in craft.inertia), strict=True))
    ElementTree.SubElement(inertial, "inertia", moments | {"ixy": "0", "ixz": "0", "iyz": "0"})
    rotors = list(zip(craft.rotor_x, craft.rotor_y, strict=True))
    size = sum(math.hypot(*rotor) for rotor in rotors) / len(rotors)
    _add(link, "body", "box", size=_row(*(size * length for length in BODY)))
    radius, height, above = (size * length for length in ROTOR)
    for x, y in rotors:
        material, long = "front" if x > 0 else "back", math.hypot(x, y)
        box = _row(long, size * ARM, size * ARM)
        _add(link, material, "box", (x / 2, y / 2, 0), math.atan2(y, x), size=box)
        _add(link, material, "cylinder", (x, y, above), radius=f"{radius:.6g}", length=f"{height:.6g}")
    ElementTree.indent(robot)
    return ElementTree.tostring(robot, encoding="unicode", xml_declaration=True)


def _add(
    link: ElementTree.Element,
    material: str,
    shape: str,
    place: Sequence[float] = (0.0, 0.0, 0.0),
    yaw: float = 0.0,
    **size: str,
) -> None:
    """A part of a link at `place` (m), turned about z (rad)."""
    visual = ElementTree.SubElement(link, "visual")
    ElementTree.SubElement(visual, "origin", xyz=_row(*place), rpy=_row(0, 0, yaw))
    ElementTree.SubElement(ElementTree.SubElement(visual, "geometry"), shape, size)
    ElementTree.SubElement(visual, "material", name=material)


def _row(*numbers: float) -> str:
    return " ".join(f"{number:.6g}" for number in numbers)
