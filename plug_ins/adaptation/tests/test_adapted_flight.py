"""What becomes of bad offers in flight: the whole flight core in virtual time, with an adapter that turned bad."""

import json
import math
import re
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors import numpy as safetensors

from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.certification import monte_carlo
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.cli.main import main
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import for_adaptation
from spike_ctrl.policy import checkpoint
from spike_ctrl_adaptation import adapted_flight
from spike_ctrl_adaptation.adapted_flight import AdaptedFlight

MODEL = resources.folder("models") / "sih_quadx.safetensors"
DATA = MODEL.read_bytes()
FOUND = checkpoint.loads(DATA)


def spoilt(name, change):
    """The policy with one array changed."""
    weights = dict(FOUND.weights)
    weights[name] = change(weights[name].copy()).astype(np.float32)
    return checkpoint.dumps(weights, FOUND.manifest.contract)


def poisoned(number):
    """The file with a number in it that is none; a checkpoint cannot be written so."""
    length = struct.unpack("<Q", DATA[:8])[0]
    weights = dict(safetensors.load(DATA))
    weights["output.bias"] = weights["output.bias"] + np.float32(number)
    return safetensors.save(weights, json.loads(DATA[8 : 8 + length])["__metadata__"])


def scaled(inputs, by):
    """The policy to which some of its inputs seem larger or smaller than they are."""
    return spoilt("layer0.weight", lambda w: w * np.where(np.isin(np.arange(18), inputs), by, 1.0))


def pushes(*by):
    """Hidden: near the set-point it pushes the vehicle away a little, and otherwise it flies as before."""
    return spoilt("output.bias", lambda b: b + np.array(by))


REFUSED = {
    "garbage": b"garbage",
    "half a file": DATA[: len(DATA) // 2],
    "another vehicle's": (resources.folder("models") / "crazyflie.safetensors").read_bytes(),
    "one bit": DATA[:-100] + bytes([DATA[-100] ^ 1]) + DATA[-99:],
    "wrong sign": spoilt("output.weight", lambda w: -w),
    "nothing": spoilt("output.weight", lambda w: 0 * w),
    "shuffled": spoilt("output.weight", lambda w: np.random.default_rng(0).permutation(w.ravel()).reshape(w.shape)),
    "strong": spoilt("output.bias", lambda b: b + 3.0),
    "swapped": spoilt("output.weight", lambda w: w[[0, 2, 1, 3]]),
    "NaN": poisoned(math.nan),
    "infinite": poisoned(math.inf),
    "without velocity": scaled([12, 13, 14], 0.0),
    "without position": scaled([0, 1, 2], 0.0),
    "without height": scaled([2], 0.0),
    "mirrored": scaled([0], -1.0),
}
HIDDEN = {
    "rolls": pushes(0, 0.5, 0, 0), "pitches": pushes(0, 0, -0.5, 0), "climbs": pushes(0.9, 0, 0, 0),
    "rolls back": pushes(0, -0.5, 0, 0), "both": pushes(0, 0.4, 0.4, 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def core():
    who, settings = monte_carlo.competitors(MODEL)
    scenario = adapted_flight.draw("wind", 3, 0.5, who.airframe)._replace(faults=(), duration=50.0)
    core = AdaptedFlight(scenario, who, for_adaptation(settings), DATA)
    core.adapter.settings = replace(core.adapter.settings, attempts=1, away=5.0)
    for number, (name, data) in enumerate(REFUSED.items()):
        core.clock.at(1.5 + 0.05 * number, core.offer, name, data)
    for number, (name, data) in enumerate(HIDDEN.items()):
        core.clock.at(5.0 + 9.0 * number, core.offer, name, data)
    core.fly()
    return core


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_sound_policy_is_refused_before_it_flies_in_shadow(core, name):
    assert any(words.startswith("refused: ") and name in words for _, words in core.told)


@pytest.mark.parametrize("name", HIDDEN)
def test_a_policy_with_a_hidden_weakness_is_rolled_back_by_name(core, name):
    told = [(event.kind, event.cause.parent) for event in core.events if getattr(event.cause, "child", None) == (name, 1)]
    assert told == [(EventKind.ROLLED_BACK, ("sih_quadx", 0))]


def test_the_vehicle_stays_where_it_should_and_the_first_policy_flies_at_the_end(core):
    assert core.state.ladder.rung is Rung.SNN and core.controllers.pilot.flown.name == "sih_quadx"
    assert max(math.dist(step.position, step.wanted) for step in core.steps if step.time > 1) < 0.8


def test_an_adapter_that_has_nothing_to_do_changes_nothing_of_a_flight_whose_policy_is_told_commands(tmp_path):
    pytest.importorskip("spike_ctrl_export")
    model = tmp_path / "learns.safetensors"
    general = resources.folder("models") / "any_rates.safetensors"
    assert main(["export", str(general), "--to", "checkpoint", "--airframe", "sih_quadx", "-o", str(model)]) == 0
    who, settings = monte_carlo.competitors(model)
    assert who.told
    scenario = adapted_flight.draw("wind", 3, 0.5, who.airframe)._replace(faults=(), duration=3.0)
    plain = FlightCore(scenario, who, for_adaptation(settings))
    adapted = AdaptedFlight(scenario, who, for_adaptation(settings), model.read_bytes())
    for core in (plain, adapted):
        core.fly()
    assert adapted.state.ladder.rung is Rung.SNN and adapted.steps == plain.steps and not adapted.told


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("examples.teacher:Nobody", "--who: found no Nobody in examples.teacher"),
        ("examples.nothing:Mine", "--who: found no module examples.nothing"),
        ("spike_ctrl.control.trajectory:SetPoint", "SetPoint without initial_state, act, reset_rows, wanted the methods"),
    ],
)
def test_a_guide_that_cannot_fly_the_changes_is_refused_in_words(name, why):
    who, settings = monte_carlo.competitors(MODEL)
    with pytest.raises(UsageError, match=re.escape(why)):
        adapted_flight.make_guide(name, who.airframe, settings)


def test_a_guide_that_flies_motors_is_refused_by_its_own_words_for_a_vehicle_that_takes_rates():
    pytest.importorskip("spike_ctrl_benchmark")
    who, settings = monte_carlo.competitors(MODEL)
    with pytest.raises(UsageError, match=re.escape("airframe sih_quadx: action_layout: found 'rates', wanted 'motors'")):
        adapted_flight.make_guide("spike_ctrl_benchmark.mellinger:Mellinger", who.airframe, settings)


def test_a_guide_of_yours_flies_the_changes_and_is_flown_again_once_its_file_is_another(tmp_path, monkeypatch, capsys):
    code = "from spike_ctrl.control.geometric_guide import GeometricGuide\n\n\nclass Mine(GeometricGuide):\n    ...\n"
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(adapted_flight, "LASTS", 3.0)
    flown, fly = [], adapted_flight.fly_change
    monkeypatch.setattr(adapted_flight, "fly_change", lambda *about: flown.append(about[-1]) or fly(*about))
    command = ["adapt", str(MODEL), "--who", "indi", "mine:Mine", "mine:Mine", "--changes", "wind", "--flights", "1"]
    assert main(command) == main(command) == 0
    assert flown == [["indi", "mine:Mine"]]
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("wind ")] == [
        "indi",
        "Mine",
    ] * 2
    (tmp_path / "mine.py").write_text(code + "# better\n")
    monkeypatch.delitem(sys.modules, "mine")
    assert main(command) == 0
    assert flown == [["indi", "mine:Mine"], ["mine:Mine"]]
