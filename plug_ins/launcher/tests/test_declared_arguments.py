"""Launch arguments from settings: declared once, by a node or by the launch file; plug-ins set parameters of nodes."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import yaml

from spike_ctrl._files.ranges import setting, within
from spike_ctrl.launching import argument_groups, declared_arguments
from spike_ctrl.launching.declared_arguments import of_launch, of_node
from spike_ctrl_launcher import launch_modules


@dataclass(frozen=True)
class OfNode:
    vehicles: int = within(256, 1, 8192, "Number of vehicles.")
    rate: float = within(100.0, 50.0, 125.0, "Rate of the states.", "Hz")
    seed: int = setting(0, "Seed.", low=0)
    realtime: bool = setting(False, "In real time.")
    link: str = setting("mavlink", "Link of the commands.", choices=("mavlink", "uxrce"))


@dataclass(frozen=True)
class OfLaunch:
    rate: float = setting(1.0, "Another rate.")
    level: str = setting("info", "What is printed.", choices=("info", "warn"))


@pytest.fixture
def declared():
    """Declared arguments by name, for groups."""
    with launch_modules.installed():
        yield lambda *groups: {one.name: one for one in declared_arguments.declarations(*groups)}


def default(argument):
    return argument.default_value and argument.default_value[0].text


def test_a_field_gives_name_default_sentence_unit_and_bounds(declared):
    found = declared(of_node(OfNode))
    assert {name: default(one) for name, one in found.items()} == {
        "vehicles": "256", "rate": "100.0", "seed": "0", "realtime": "false", "link": "mavlink",
    }  # fmt: skip
    assert found["vehicles"].description == "Number of vehicles. (1 to 8192)"
    assert found["rate"].description == "Rate of the states. (Hz, 50 to 125)"
    assert found["seed"].description == "Seed. (at least 0)"


def test_a_launch_file_may_give_another_default_or_none_and_leave_fields_out(declared):
    found = declared(of_node(OfNode, "vehicles rate", only="backend:=px4", vehicles=1, rate=None))
    assert {name: default(one) for name, one in found.items()} == {"vehicles": "1", "rate": None}
    assert found["vehicles"].description == "Number of vehicles. (1 to 8192) Only with backend:=px4."


def test_a_node_checks_its_own_choices_and_the_launch_those_that_belong_to_it(declared):
    found = declared(of_node(OfNode), of_launch(OfLaunch))
    assert found["link"].choices is None and found["level"].choices == ["info", "warn"]
    assert found["rate"].description.startswith("Rate of the states."), "of a name in two groups the first one counts"


def test_values_arrive_at_a_node_with_the_types_of_its_fields(launch, program, prefix):
    program("copies", f"import shutil, sys; shutil.copy(sys.argv[-1], {str(prefix / 'got')!r})")
    (prefix / "toy_parameters.py").write_text(
        "from dataclasses import dataclass\nfrom spike_ctrl._files.ranges import setting\n@dataclass\nclass Toy:\n"
        "    rate: float = setting(1.0)\n    name: str = setting('007')\n    on: bool = setting(True)\n"
    )
    body = f"""
        import sys; sys.path.insert(0, {str(prefix)!r})
        from toy_parameters import Toy
        from spike_ctrl.launching.declared_arguments import LaunchSettings, declarations, of_launch, of_node
        from spike_ctrl.launching.our_nodes import node
        toy = of_node(Toy)
        return LaunchDescription([*declarations(of_launch(LaunchSettings), toy), node('toy', 'copies', toy, {{'fixed': 3}})])
        """
    assert launch(body, "rate:=5") == 0
    got = yaml.safe_load((prefix / "got").read_text())["/**"]["ros__parameters"]
    assert got == {"rate": 5.0, "name": "007", "on": True, "fixed": 3} and type(got["rate"]) is float
    program("copies", f"import sys; open({str(prefix / 'words')!r}, 'w').write(' '.join(sys.argv))")
    for words, expected in (("namespace:=/fleet/b", " -r __ns:=/fleet/b "), ("namespace:=", None)):
        assert launch(body, words) == 0
        found = (prefix / "words").read_text()
        assert expected in found if expected else "__ns" not in found


def test_plug_ins_set_parameters_of_the_nodes_of_a_launch_file():
    groups = [
        SimpleNamespace(parameters=lambda context: {"supervisor": {"adapt": context.adapt}}),
        SimpleNamespace(),
        SimpleNamespace(parameters=lambda context: {"supervisor": {"height": 2.0}, "recorder": {"reserve_mb": 1.0}}),
    ]
    found = argument_groups.parameters(groups, SimpleNamespace(adapt=True))
    assert found == {"supervisor": {"adapt": True, "height": 2.0}, "recorder": {"reserve_mb": 1.0}}
