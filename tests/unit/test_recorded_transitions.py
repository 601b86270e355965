"""What a learner gets from bags: the very steps that were flown, nothing across a gap, and refusals that name the topic."""

import json
import re

import numpy as np
import pytest
import yaml
from recorded import fly, write_flight

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.cli import main
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.learner import Learner
from spike_ctrl.policy import checkpoint
from spike_ctrl.recordings import BagError, recorded_transitions
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED, TRUNCATED
from spike_ctrl.sim.reward import START

pytestmark = pytest.mark.slow

MODEL = resources.folder("models") / "crazyflie.safetensors"
CRAZYFLIE, SIH = airframe.load("crazyflie"), airframe.load("sih_quadx")
PLAN = {
    "name": "tiny", "algorithm": "td3bc", "task": {"box": 1.5, "reward": "start"},
    "network": {"hidden": [32, 16], "slope": {"kind": "fixed", "k": 5}},
    "replay": {"capacity": 65536, "window": 20, "critic_batch": 8, "actor_batch": 16},
    "td3bc": {"burn_in": 5, "label": "guide", "alpha": 0.2, "bc": 1, "bc_end": 1, "critic_updates": 1, "actor_updates": 8},
    "critic_width": 32, "schedule": {"steps": 50000, "iteration_steps": 1000, "evaluations": 2, "averaging": 0.05,
                                     "learning_rate": 5e-3},
}  # fmt: skip


def gather(*bags, craft=CRAZYFLIE, label="guide"):
    return recorded_transitions.gather(bags, craft, START, label)


def flown(craft, ticks=200, seed=0):
    """States (T + 1, 13), actions and the rewards that the environment paid; by the guide, never ended."""
    environment = Environment(craft, 1, Task(box=100.0, episode_steps=10**6))
    guide, observation = GeometricGuide(craft), environment.reset(seed=seed)[0]
    held, states, actions, rewards = guide.initial_state(1), [observation[0]], [], []
    for _ in range(ticks):
        action, held = guide.act(observation, held)
        observation, paid, *_ = environment.step(action)
        states.append(observation[0])
        actions.append(action[0])
        rewards.append(paid[0])
    of_observation = pytest.importorskip("spike_ctrl_identify.flight_windows").of_observation
    return of_observation(np.array(states)), np.array(actions), np.array(rewards)


def test_transitions_become_the_steps_that_the_environment_took(tmp_path):
    paid = fly(tmp_path / "bag", MODEL, vehicles=3, ticks=250)
    rows = gather(tmp_path / "bag").rows
    assert len(rows.flags) == 750 and (rows.flags[::250] & FIRST).all()
    np.testing.assert_array_equal(rows.reward.reshape(3, 250).T, paid)
    assert np.abs(rows.rotor_speed).max() > 0 and not gather(tmp_path / "bag").blind


def test_the_reward_of_a_flight_is_recomputed_as_the_environment_would_have_paid_it(tmp_path):
    state, action, paid = flown(CRAZYFLIE)
    write_flight(tmp_path / "bag", state, action, action, "motors")
    found = gather(tmp_path / "bag")
    np.testing.assert_allclose(found.rows.reward[:-1], paid[:-1], atol=2e-5)
    assert found.blind and not found.rows.rotor_speed.any() and not found.rows.disturbance.any()
    assert any("lacks rotor speeds and disturbance" in line for line in found.words)


def test_of_rates_the_collective_alone_tells_the_throttle():
    u = recorded_transitions.throttle(np.float32([[0, 1, 0, 0], [-1, 0, 1, 0], [1, 0, 0, 1]]), SIH)
    np.testing.assert_allclose(u, np.repeat([[SIH.hover], [0], [1]], 4, axis=1), atol=1e-6)


def test_one_flight_among_the_bags_takes_what_it_lacks_from_all_of_them(tmp_path):
    fly(tmp_path / "simulated", MODEL, ticks=100)
    write_flight(tmp_path / "flight", *flown(CRAZYFLIE)[:2], np.zeros((200, 4)), "motors")
    both = gather(tmp_path / "simulated", tmp_path / "flight")
    assert both.blind and not both.rows.rotor_speed.any() and len(both.rows.flags) == 400


def test_on_the_ground_and_at_rest_nothing_is_learnt(tmp_path):
    state, action, _ = flown(CRAZYFLIE)
    commander = np.repeat([2, 1, 0, 2], 50)  # rest, guide, policy, rest
    write_flight(tmp_path / "bag", state, action, action, "motors", commander=commander, ground=60)
    rows = gather(tmp_path / "bag").rows
    np.testing.assert_array_equal(rows.action, action[60:150])
    assert ((rows.flags & 8) > 0).sum() == 40  # flown by the guide


def test_no_window_reaches_across_a_tick_that_is_missing(tmp_path):
    fly(tmp_path / "bag", MODEL, vehicles=1, ticks=400, skip=range(150, 160))
    found = gather(tmp_path / "bag")
    held = recorded_transitions.buffer(found, 20)
    np.testing.assert_array_equal(held.observation[:, 0], found.rows.observation)
    starts = np.flatnonzero(found.rows.flags & FIRST)
    assert 150 in starts
    sample = held.sample(256, 20, 5, np.random.default_rng(0))
    place = {row.tobytes(): n for n, row in enumerate(found.rows.observation)}
    for window in range(256):
        inside = sample.mask[:, window]
        at = [place[row.tobytes()] for row in sample.observation[:-1, window][inside]]
        assert np.diff(at).max(initial=1) == 1 and not set(at[1:]) & set(starts)
        assert sample.age[window] == at[0] - starts[starts <= at[0]].max()


@pytest.mark.parametrize(
    "leave_out, label, message",
    [
        (("transition",), "guide", "found no transition and no command, wanted one of them: what was flown"),
        (("state",), "guide", r"wanted a topic state \(spike_ctrl_msgs/msg/VehicleState\)"),
    ],
)
def test_a_bag_that_lacks_what_was_flown_is_refused_by_topic(tmp_path, leave_out, label, message):
    fly(tmp_path / "bag", MODEL, ticks=30, leave_out=leave_out)
    with pytest.raises(BagError, match=message):
        gather(tmp_path / "bag", label=label)


def test_a_flight_without_the_guides_actions_is_learnt_from_by_its_own_only(tmp_path):
    state, action, _ = flown(CRAZYFLIE)
    write_flight(tmp_path / "bag", state, action, action, "motors", leave_out=("guide/action",))
    with pytest.raises(BagError, match=r"found no guide/action, which td3bc\.label 'guide' holds the actor to; wanted it"):
        gather(tmp_path / "bag")
    assert len(gather(tmp_path / "bag", label="buffer").rows.flags) == 200


def test_another_airframe_is_refused_by_hash_and_another_layout_by_name(tmp_path):
    fly(tmp_path / "bag", MODEL, ticks=30)
    with pytest.raises(BagError, match=f"policy/checkpoint: airframe_hash: found {CRAZYFLIE.hash}, crazyflie, wanted"):
        gather(tmp_path / "bag", craft=airframe.load("crazyflie_l2f"))
    write_flight(tmp_path / "rates", *flown(SIH)[:2], np.zeros((200, 4)), "rates")
    with pytest.raises(BagError, match="guide/action: layout: found 'rates', wanted 'motors' as of airframe crazyflie"):
        gather(tmp_path / "rates")


def test_too_few_steps_are_refused_with_their_number(tmp_path):
    fly(tmp_path / "bag", MODEL, ticks=30)
    with pytest.raises(BagError, match="found 60 steps to learn from, wanted at least 73 for windows of 20 steps"):
        recorded_transitions.buffer(gather(tmp_path / "bag"), 20)


def test_own_flight_and_recorded_flight_share_a_batch(tmp_path):
    fly(tmp_path / "bag", MODEL, ticks=100)
    learner = Learner(recipes.from_dict(PLAN), CRAZYFLIE, 1, 0)
    found = gather(tmp_path / "bag")
    learner.method.learn_from(recorded_transitions.buffer(found, 20), found.blind)
    metrics = learner.study()
    assert {"critic_loss", "imitation_loss"} <= set(metrics) and learner.offline_steps == 1000
    assert (metrics["environment_steps"], metrics["offline_steps"]) == (0, 1000)  # nothing was flown
    own = type(found.rows)(*(array[:1] * 0 for array in found.rows))
    for _ in range(100):
        learner.method.receive(own._replace(observation=np.full((1, 18), 7, np.float32)))
    sample = learner.method._sample(16)
    ours = (sample.observation == 7).all((0, 2))
    assert ours.sum() == 8 and sample.privileged.shape[1] == sample.age.shape[0] == sample.mask.shape[1] == 16


def test_the_verb_learns_offline_to_answer_as_the_guide_did(tmp_path, capsys):
    """From guide-labelled flight alone: half of the imitation error of an untrained network is gone."""
    fly(tmp_path / "bag", MODEL, vehicles=8, ticks=400)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(PLAN))
    run = tmp_path / "run"
    assert main.main(["train", str(tmp_path / "tiny.yaml"), "--from-bag", str(tmp_path / "bag"), "--run", str(run)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"3200 steps of simulated flight, 0% of them flown by the guide", shown)
    rows, loaded = gather(tmp_path / "bag").rows, checkpoint.load(run / "policy.safetensors")
    untrained = Learner(recipes.from_dict(PLAN), CRAZYFLIE, 8, 0).averaged_weights()
    errors = {}
    for name, policy in (("trained", loaded.policy), ("untrained", type(loaded.policy)(untrained, loaded.policy.neuron))):
        state, off = policy.initial_state(8), []
        for tick in range(400):
            first = (rows.flags.reshape(8, 400)[:, tick] & FIRST) > 0
            state = policy.reset_rows(state, first)
            action, state = policy.step(rows.observation.reshape(8, 400, 18)[:, tick], state)
            live = (rows.flags.reshape(8, 400)[:, tick] & (TERMINATED | TRUNCATED)) == 0
            off.append(((action - rows.guide_action.reshape(8, 400, 4)[:, tick]) ** 2).sum(1)[live])
        errors[name] = np.concatenate(off).mean()
    assert errors["trained"] < 0.5 * errors["untrained"]
    told = json.loads((run / "run.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    assert (told["environment_steps"], told["offline_steps"]) == (0, PLAN["schedule"]["steps"])
    assert {line["environment_steps"] for line in lines} == {0} and lines[-1]["offline_steps"] == told["offline_steps"]
    assert main.main(["train", "--resume", str(run)]) == 2
    assert "has learnt from bags, which it does not hold; start it anew with --from-bag" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["default", "--from-bag", "{}"], "algorithm: found bptt, wanted td3bc: it learns from recorded flight"),
        (["--online", "5000"], "--online: found without --from-bag, wanted with it"),
        (["--from-bag", "{}", "--resume", "run"], "--from-bag: found with --resume, wanted one of them"),
        (["--from-bag", "{}", "--online", "-1"], "--online: found -1, wanted 0 to"),
        (["--from-bag", "{}x"], "bagx: no such bag"),
    ],
)
def test_what_cannot_be_learnt_from_bags_is_refused_in_one_line(tmp_path, capsys, arguments, message):
    fly(tmp_path / "bag", MODEL, ticks=30)
    run = tmp_path / "run"
    given = [word.format(tmp_path / "bag") for word in arguments]
    assert main.main(["train", *given, *([] if "--resume" in given else ["--run", str(run)])]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not run.exists()


def test_the_throttle_of_motors_is_the_command():
    np.testing.assert_allclose(recorded_transitions.throttle(np.float32([[-1, 0, 1, 0.5]]), CRAZYFLIE), [[0, 0.5, 1, 0.75]])
