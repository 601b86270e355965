"""The task spike_ctrl/Racing-v0: its interface, what is seen, what passes and what ends a flight, and what a step earns."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy.spatial.transform import Rotation

import spike_ctrl_racing
from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.sim import dynamics
from spike_ctrl_racing.racing_environment import OUTCOMES, make_race, radius_of
from spike_ctrl_racing.track import Gate, Track, gate_row

ROW = Track("row", tuple(Gate((4.0 * i, 0.0, 2.0), 0.0) for i in range(4)))
HOVER = np.zeros((1, 4), np.float32)


def _thrown(course=ROW, position=(-0.5, 0.0, 2.0), velocity=(9.0, 0.0, 0.0), **task):
    """One vehicle that flies at hover thrust from this state, and its first observation."""
    environment = make_race(vehicles=1, tracks=[course], **task)
    environment.reset(seed=0)
    state = np.array([[*position, 0, 0, 0, 1, *velocity, 0, 0, 0]], np.float32)
    dynamics.write(environment.buffer, slice(0, 13), state)
    return environment


def _flown(environment, steps):
    """Rewards, and the figures of the flight that ended; None: it goes on."""
    rewards = []
    for _ in range(steps):
        _, reward, _, _, info = environment.step(HOVER)
        rewards.append(float(reward[0]))
        if info:
            return rewards, {name: value[0] for name, value in info["flight"].items()}
    return rewards, None


@pytest.mark.parametrize("layout", ["rates", "motors"])
def test_gymnasium_accepts_the_task(layout):
    spike_ctrl_racing.register()
    check_env(gymnasium.make("spike_ctrl/Racing-v0", layout=layout, tracks=["split_s"]).unwrapped, skip_render_check=True)


def test_gymnasium_makes_the_batched_task():
    environment = gymnasium.make_vec("spike_ctrl/Racing-v0", num_envs=20, max_episode_steps=3)
    seen, _ = environment.reset(seed=1)
    assert seen.shape == (20, 30) and environment.observation_space.contains(seen)
    ends = [environment.step(np.zeros((20, 4), np.float32))[3] for _ in range(3)]
    assert [end.all() for end in ends] == [False, False, True]


def test_what_is_seen_of_the_gates():
    environment = make_race(vehicles=48, anywhere=1.0)
    environment.reset(seed=2)
    action = np.random.default_rng(0).uniform(-0.6, 0.6, (48, 4)).astype(np.float32)
    for _ in range(15):
        seen = environment.step(action)[0]
    state = environment.read(dynamics.STATE_ROWS).astype(float)
    for n in range(48):
        course, gate = environment.course(n), int(environment.kept[n, 0])
        first, second = course[gate], course[(gate + 1) % len(course)]
        body = Rotation.from_quat(state[n, 3:7])
        frame = Rotation.from_euler("z", np.arctan2(first[4], first[3]))
        wanted = np.concatenate(
            [
                frame.inv().apply(state[n, :3] - first[:3]), (frame.inv() * body).as_matrix().ravel(),
                frame.inv().apply(state[n, 7:10]), state[n, 10:13],
                *(body.inv().apply(part) for row in (first, second) for part in (row[:3] - state[n, :3], row[3:6])),
            ]
        )  # fmt: skip
        np.testing.assert_allclose(seen[n], wanted, atol=2e-5)


def test_a_race_is_finished_by_its_last_gate():
    _, flight = _flown(_thrown(Track("two", ROW.gates[:2]), velocity=(14.0, 0.0, 0.5), rounds=1), 200)
    assert OUTCOMES[flight["outcome"]] == "finished"
    assert flight["passed"] == 2 and 30 < flight["l"] < 45
    assert flight["flown"] == pytest.approx(4.5, abs=0.4) and flight["fastest"] == pytest.approx(14, abs=0.3)


def test_a_gate_counts_in_its_turn_only():
    environment = _thrown(position=(3.5, 0.0, 2.0), rounds=1)  # before the second gate, with the first still to pass
    assert _flown(environment, 20)[1] is None
    assert environment.kept[0, 0] == 0 and environment.kept[0, 1] == 0


@pytest.mark.parametrize(
    ("position", "velocity", "outcome"),
    [
        ((-0.5, 0.8, 2.0), (9, 0, 0), "touched"),
        ((4.5, 0.8, 2.0), (-9, 0, 0), "touched"),  # of a gate that is not the next, from behind
        ((-1.0, 0.0, 0.3), (0, 0, -9), "outside"),
        ((-5.9, 0.0, 2.0), (-9, 0, 0), "outside"),
    ],
)
def test_what_ends_a_flight(position, velocity, outcome):
    rewards, flight = _flown(_thrown(position=position, velocity=velocity), 60)
    assert OUTCOMES[flight["outcome"]] == outcome
    assert rewards[-1] < -9 and flight["r"] == pytest.approx(sum(rewards), abs=1e-3)


def test_progress_adds_up_to_the_way_that_was_left():
    weights = {"progress": 1.0, "gate": 0.0, "body_rates": 0.0, "roughness": 0.0, "end": 0.0}
    environment = _thrown(position=(-3.0, 0.5, 2.0), velocity=(6.0, 0.0, 0.0), reward=weights)
    environment.kept[0, 3] = np.hypot(3.0, 0.5)
    rewards, _ = _flown(environment, 30)
    x, y, z = environment.read(slice(0, 3))[0].astype(float)
    assert sum(rewards) == pytest.approx(np.hypot(3, 0.5) - np.linalg.norm([x, y, z - 2]), abs=1e-3)


def test_a_gate_that_is_passed_earns_its_worth():
    weights = {"progress": 0.0, "gate": 3.0, "body_rates": 0.0, "roughness": 0.0}
    rewards, _ = _flown(_thrown(reward=weights), 12)
    assert sorted(set(np.round(rewards, 5))) == [0.0, 3.0] and rewards.count(3.0) == 1


def test_turning_and_a_changed_action_cost_their_squares():
    none = {"progress": 0.0, "gate": 0.0, "body_rates": 0.0, "roughness": 0.0, "end": 0.0}
    environment = _thrown(reward=none | {"roughness": 2.0})
    actions = np.array([[0, 0, 0, 0], [0.1, 0, -0.2, 0], [0.1, 0, -0.2, 0], [0.1, 0.3, -0.2, 0]], np.float32)
    earned = [float(environment.step(action[None])[1][0]) for action in actions]
    np.testing.assert_allclose(earned, [0.0, -2 * 0.05, 0.0, -2 * 0.09], atol=1e-6)

    environment = _thrown(reward=none | {"body_rates": 2.0})
    for _ in range(10):  # it rolls by its rate loop, which the plant tells
        _, reward, *_ = environment.step(np.array([[0.0, 0.4, 0.0, 0.0]], np.float32))
        rates = dynamics.read(environment.buffer, slice(10, 13), 1)[0]
        assert float(reward[0]) == pytest.approx(-2 * float(np.square(rates).sum()), rel=1e-4)
    assert np.abs(rates).max() > 1.0


def test_equal_seeds_give_equal_flights_for_any_number_of_vehicles():
    flights = []
    for count in (3, 19):
        environment = make_race(vehicles=count, anywhere=1.0, episode_steps=9)
        seen = [environment.reset(seed=11)[0][:3]]
        seen += [environment.step(np.full((count, 4), 0.1))[0][:3] for _ in range(25)]
        flights.append(np.stack(seen))
    np.testing.assert_array_equal(*flights)
    assert not np.allclose(flights[0][0], flights[0][10])  # after its ninth step a flight begins anew, elsewhere


@pytest.mark.parametrize(("name", "radius"), [("racer", 0.2), ("sih_quadx", 0.2), ("crazyflie", 0.063)])
def test_a_vehicle_counts_with_its_propellers(name, radius):
    assert radius_of(airframe.load(name)) == pytest.approx(radius, abs=5e-4)


@pytest.mark.flight  # it compiles a kernel of its own, which takes 10 s
def test_a_vehicle_with_a_battery_and_a_dead_time_races():
    environment = make_race("crazyflie_real", vehicles=2, tracks=["lsy_level0"], radius=0.07)
    environment.reset(seed=0)
    seen, *_ = environment.step(np.full((2, 4), 0.3))
    assert np.isfinite(seen).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tracks": {"moist": 3}}, "unknown name 'moist'; did you mean 'most'"),
        ({"tracks": ["nowhere"]}, "course 'nowhere' not found"),
        ({"tracks": []}, "tracks: found none"),
        ({"tracks": 3}, "tracks: found 3, wanted a list of courses"),
        ({"tracks": "split_s"}, "tracks: found 'split_s', wanted a list of courses"),
        ({"tracks": [3]}, r"tracks: found \[3\], wanted a list of courses"),
        ({"layout": "motor"}, "layout: found 'motor', wanted motors or rates"),
        ({"rounds": 1.5}, "rounds: found 1.5, wanted 1 to 1000, a whole number"),
        ({"round": 3}, "unknown name 'round'; did you mean 'rounds'"),
        ({"randomisation": {"sensors": {"delay": 0.02}}}, "samples that are late, wanted none in a race"),
        ({"randomisation": {"delay": 5}}, "delay: found 5, wanted 0 to 4"),
        ({"randomisation": {"sensors": {"gyr": 0.1}}}, "unknown name 'gyr'; did you mean 'gyro'"),
        ({"margin": 0.0}, "margin: found 0.0, wanted 1 to 100"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        make_race(**options)


def test_rows_and_gates_are_the_same():
    assert gate_row(ROW.gates[1]).tolist() == make_race(vehicles=1, tracks=[ROW]).course(0)[1].tolist()
