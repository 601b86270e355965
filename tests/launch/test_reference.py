"""The reference in docs/ is what the sources declare.

- both pages are up to date; a page that is not is named, with what to do
- every parameter has a description, and every node a lifecycle or a reason on the page why not
- they hold what is known otherwise: who publishes, who listens, defaults and ranges, fields with their units
"""

import dataclasses
import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(reference, capsys):
    assert reference.main(["--check"]) == 0, capsys.readouterr().err


def test_a_page_that_is_not_up_to_date_is_named(reference, tmp_path, monkeypatch, capsys):
    for folder in ("launch", "src", "plug_ins", "tests"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    two = {name: reference.PAGES[name] for name in ("messages.md", "fault_codes.md")}
    monkeypatch.setattr(reference, "PAGES", two)
    page = tmp_path / "docs" / "messages.md"
    page.write_text(page.read_text().replace("| `header` |", "| `heads` |", 1))
    assert reference.main(["--check"]) == 1
    assert capsys.readouterr().err == "docs/messages.md: not up to date; run: make reference\n"


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("messages.md", "| `command` | [FlightCommand](#flightcommand) | supervisor | vehicle_bridge, snn_policy, adapter | "
         "best effort, 1 |"),
        ("messages.md", "| `preflight` | [Preflight](#preflight) | vehicle_bridge | supervisor | reliable, 10 |"),
        ("messages.md", "| `transition` | [Transition](#transition) | simulator, px4_backend | learner | reliable, 512 |"),
        ("messages.md", "| `quaternion` | `float64[4]` | x, y, z, w: body to odom |"),
        ("messages.md", "| `SILENT` | 4 |  |"),
        ("fault_codes.md", "| 40 | `GUIDE_SILENT` | the guide does not answer and could not take over | HOLD | 17 |"),
        ("fault_codes.md", "| 63 | `BATTERY_LOW` | the battery is too low to engage | reported; bars an engagement | 35 |"),
        ("flight_settings.md", "| `envelope.tilt` | 0.8727 | rad | 0.1 to 3.142 | Largest tilt. |"),
        ("flight_settings.md", "| `answers.course.far` | 1 | m | 0.01 to 100 | Largest mean distance from the set-point. |"),
        ("parameters.md", "| `rate` | float | `1.0` | at least 0 | Speed against that of the flight; "
         "0: as fast as the policy answers. |"),
        ("parameters.md", "| `vehicle` | `none` | `none`, `embedded` | embedded: also start a simulated vehicle that speaks "
         "MAVLink as PX4 does. One that is commanded by its motors sets recipe:=default and link:=embedded. |"),
    ],
)  # fmt: skip
def test_it_holds_what_is_known_otherwise(page, line):
    assert line in (ROOT / "docs" / page).read_text().splitlines()


def test_every_parameter_of_every_node_is_declared_with_a_description(reference):
    """All by `declared_parameters.declare`, which takes the descriptor from the dataclass."""
    for name, module in reference.nodes().items():
        for field in dataclasses.fields(reference._parameters(module)):
            words = field.metadata["description"]
            assert len(words.split()) > 2 and words.endswith((".", ")")), f"{name}: {field.name}: {words!r}"
    files = [*ROOT.glob("src/*/spike_ctrl*/**/*.py"), *ROOT.glob("plug_ins/*/spike_ctrl_*/**/*.py")]
    assert [file.name for file in files if ".declare_parameter(" in file.read_text()] == ["declared_parameters.py"]


def test_the_page_says_of_every_node_whether_it_has_a_lifecycle(reference):
    from rclpy.lifecycle import LifecycleNode

    rows = re.findall(r"^\| (`.*?`) \| (yes|no) \| .", (ROOT / "docs" / "ros2.md").read_text(), re.MULTILINE)
    told = {name: has == "yes" for names, has in rows for name in re.findall(r"`(\w+)`", names)}

    def has_lifecycle(module) -> bool:
        own = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
        return any(issubclass(one, LifecycleNode) for one in own)

    assert told == {name: has_lifecycle(module) for name, module in reference.nodes().items()}
