"""What this package adds to `spike-ctrl eval`: options and their examples, and airframes that its protocols refuse."""

import dataclasses
import json
import math
import re
import shlex

import pytest
import yaml
from refusal import refused

from spike_ctrl import airframe
from spike_ctrl.cli import main
from spike_ctrl.evaluation.controllers import GuideController
from spike_ctrl.learn import recipe as recipes
from spike_ctrl_benchmark import eval_options, real_flights, trim_step
from spike_ctrl_benchmark.any_airframe import ANY


def late(name, seconds, tmp_path):
    """The file of an airframe with this dead time."""
    path = tmp_path / "late.yaml"
    craft = dataclasses.replace(airframe.load(name), name="late", dead_time=seconds)
    path.write_text(yaml.safe_dump(airframe.to_dict(craft)))
    return str(path)


def test_the_recipe_any_rates_draws_what_the_protocol_airframes_flies():
    assert recipes.find("any_rates").task.airframes == ANY["rates"]


def test_the_help_of_the_verb_shows_the_examples_of_this_package_and_each_parses(capsys):
    parser = main.parser("eval", main.find("eval"))
    shown = re.sub(r" \\\n *", " ", parser.format_help())
    for line in eval_options.EXAMPLES.strip().splitlines():
        command = line.partition("  #")[0].rstrip()
        assert command in shown
        parser.parse_args(shlex.split(command)[2:])


@pytest.mark.parametrize(
    ("protocol", "name", "seconds", "found"),
    [("corners", "crazyflie", 0.03, 50), ("real-flights", "crazyflie_real", 0.035, 45)],
)
def test_an_airframe_that_answers_too_late_for_a_protocol_is_refused(protocol, name, seconds, found, tmp_path, capsys):
    message = refused(capsys, "eval", "--guide", "--airframe", late(name, seconds, tmp_path), "--protocol", protocol)
    assert message.startswith(f"--protocol {protocol}: airframe late: dead_time, ")
    assert f"found delays of up to {found} ms, wanted at most 40 ms" in message


def test_the_guide_flies_the_references_of_real_flights_where_it_is_asked_for(monkeypatch):
    flown, still = [], real_flights.RealFlight(1.0, 0.1, 0.1, 0.0, 0.01, math.inf)

    def fly(controller, *_, **__):
        flown.append(controller)
        return dict.fromkeys(real_flights.references(), still)

    monkeypatch.setattr(real_flights, "fly_references", fly)
    monkeypatch.setattr(trim_step, "answer_trim_step", lambda *_: trim_step.TrimAnswer(0.1, 0.1, 0.1))
    assert main.main(["eval", "--guide", "--airframe", "crazyflie_real", "--protocol", "real-flights"]) == 0
    assert flown and all(isinstance(one, GuideController) for one in flown)


def test_inserts_do_not_go_with_a_protocol_of_this_package(capsys):
    message = refused(capsys, "eval", "--guide", "--insert", "wind=own_wind:gust", "--protocol", "corners")
    assert message == "--insert: found with --protocol corners, wanted our simulator and another protocol"


def test_what_flies_with_compensated_batteries_says_so(tmp_path):
    file = tmp_path / "found.json"
    words = ["--guide", "--airframe", "crazyflie_real", "--protocol", "hover", "--json", str(file)]
    found = {}
    for more in ([], ["--compensate-battery"]):
        assert main.main(["eval", *words, *more]) == 0
        found |= json.loads(file.read_text())["hover"]
    plain, corrected = (found[f"guide (lead cap 1.5){words}"] for words in ("", ", duty by voltage"))
    assert plain != corrected
