"""Teachers: the geometric guide, a class of your own, a checkpoint, RAPTOR; each by the same small protocol."""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.guide_protocol import Guide
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn import teacher
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl.sim.environment import Environment, Task

AIRFRAME, VEHICLES = airframe.load("crazyflie"), 8
SMOOTH = {"class": "examples.teacher:SmoothGuide", "share": 0.25}
RAPTOR = "examples.raptor_teacher:Raptor"
MODEL = "models/crazyflie.safetensors"
GUIDES = {"geometric": {}, "own": SMOOTH, "raptor": RAPTOR, "checkpoint": MODEL}


def recipe(guide):
    return recipes.from_dict({"name": "mine", "guide": guide})


def make(guide, vehicle=AIRFRAME):
    return teacher.make(recipe(guide), vehicle)


def seen(steps=5, seed=0):
    """Some ticks of true flight: observations, rotor speeds and disturbances."""
    environment = Environment(AIRFRAME, VEHICLES, Task(box=1.5))
    observation, _ = environment.reset(seed=seed)
    for _ in range(steps):
        yield observation, environment.rotor_speed, environment.disturbance, environment.plant
        observation, *_ = environment.step(np.full((VEHICLES, 4), 0.3))


@pytest.mark.parametrize("guide", GUIDES.values(), ids=GUIDES)
def test_every_teacher_keeps_the_protocol(guide):
    found = make(guide)
    assert isinstance(found, Guide)
    state, ticks = found.initial_state(VEHICLES), list(seen())
    for tick in ticks:
        action, state = found.act(tick[0], state, *tick[1:])
        assert action.shape == (VEHICLES, 4) and np.abs(action).max() <= 1
    mask = np.arange(VEHICLES) % 2 == 0
    state = found.reset_rows(state, mask)
    again, _ = found.act(ticks[0][0], state, *ticks[0][1:])
    fresh, _ = found.act(ticks[0][0], found.initial_state(VEHICLES), *ticks[0][1:])
    np.testing.assert_allclose(again[mask], fresh[mask], atol=1e-5)


def test_the_gains_of_a_recipe_are_those_of_the_geometric_guide():
    guide = make({"yaw_frequency": 5})
    assert isinstance(guide, GeometricGuide) and guide._gains[6] == 5


def test_a_class_of_your_own_is_given_the_airframe_and_its_arguments():
    guide, geometric = make(SMOOTH), GeometricGuide(AIRFRAME)
    state, inner = guide.initial_state(VEHICLES), geometric.initial_state(VEHICLES)
    last = np.full((VEHICLES, 4), 2 * AIRFRAME.hover - 1)
    for tick in seen():
        action, state = guide.act(tick[0], state, *tick[1:])
        wanted, inner = geometric.act(tick[0], inner, *tick[1:])
        last = 0.25 * wanted + 0.75 * last
        np.testing.assert_allclose(action, last, atol=1e-6)


def test_a_checkpoint_teaches_what_its_policy_does():
    guide, policy = make(MODEL), checkpoint.load(MODEL).policy
    state, other = guide.initial_state(VEHICLES), policy.initial_state(VEHICLES)
    for tick in seen():
        action, state = guide.act(tick[0], state, *tick[1:])
        wanted, other = policy.step(tick[0], other)
        np.testing.assert_array_equal(action, wanted)


def test_a_recipe_with_a_teacher_survives_being_written_down():
    for guide in GUIDES.values():
        assert recipes.from_dict(recipes.to_dict(recipe(guide))) == recipe(guide)


@pytest.mark.parametrize(
    "guide, message",
    [
        ("examples.gru:GRU", "guide: examples.gru:GRU: "),
        ("examples.teacher:SmoothState", "guide: examples.teacher:SmoothState: "),
        ("examples.teacher:Nobody", "guide: found no Nobody in examples.teacher, wanted one of its classes"),
        (
            "geometric",
            "guide: found 'geometric', wanted gains, module:Name, a path to a .safetensors file, or a recipe that trains it",
        ),
        ({"class": "no name"}, "guide.class: found 'no name', wanted module:Name"),
        ({"class": "a:B", "with space": 1}, "guide: found an argument 'with space', wanted the name of one of a:B"),
    ],
)
def test_a_teacher_that_cannot_be_is_refused_in_words(guide, message):
    with pytest.raises(UsageError) as error:
        make(guide)
    assert message in str(error.value)


def test_a_checkpoint_of_another_layout_or_none_is_refused():
    with pytest.raises(CheckpointError, match="action: found 'motors', wanted 'rates'"):
        make(MODEL, airframe.load("sih_quadx"))
    with pytest.raises(CheckpointError, match="not found; known: any_quad"):
        make("models/nowhere.safetensors")


def test_who_flies_by_the_geometric_guide_only_refuses_another():
    assert teacher.gains(recipe({})) == recipe({}).guide
    with pytest.raises(UsageError, match=r"recipe mine: guide: found examples\.raptor_teacher:Raptor, wanted gains"):
        teacher.gains(recipe(RAPTOR))
