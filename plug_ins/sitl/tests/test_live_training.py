"""Training episodes on a vehicle that has to fly to their starts, with the simulated MAVLink vehicle in virtual time.

- it arms, takes off and flies episode after episode, each from its own start; its rows fit the replay buffer
- a policy that would crash, answers NaN, late or not at all never brings the vehicle to the ground
- a vehicle that is disarmed in the air or taken by a failsafe is armed again and flies on; otherwise the reason is named
- without the learner's order it hovers; at the end it lands
"""

import math

import numpy as np
import pytest
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.flight.autopilot import Autopilot, Mode
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.learn import recipe
from spike_ctrl.learn.replay_buffer import SequenceBuffer
from spike_ctrl.px4 import link
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.link import Link
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.episode_flags import FIRST, GUIDE, TERMINATED, TRUNCATED
from spike_ctrl_sitl.live_training import return_to_start
from spike_ctrl_sitl.live_training.autopilot_simulator import AutopilotSimulator, packet
from spike_ctrl_sitl.live_training.return_to_start import AutopilotRequest, ReturnFacts, ReturnPhase, ReturnState
from spike_ctrl_sitl.live_training.room_episodes import RolloutOrder, Room, RoomEpisodes

END = TERMINATED | TRUNCATED
RTL = 0x05040000
GAINS = recipe.find("rates").guide
ONE_RESTART = return_to_start.ReturnLimits(restarts=1)


class Live:
    """Vehicle, companion and flight; `policy(observation)` and the guide answer at once, as the graph's nodes would."""

    def __init__(
        self, rig, policy, seed=0, horizon=0.0, until=10**9, parameters=None, noise=0.0, steps=60, limits=None, mass=1.0
    ):
        self.rig = rig({"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 4} | (parameters or {}), noise=noise)
        self.craft, self.policy = airframe.altered(airframe.load("sih_quadx"), mass, 1.0, 1.0), policy
        plan = recipe.from_dict({"name": "short", "task": {"episode_steps": steps, "start": {"position": 2, "yaw": 1}}})
        episodes, guide = RoomEpisodes(plan, self.craft, Room(), seed), GeometricGuide(self.craft, GAINS)
        self.flight = AutopilotSimulator(episodes, guide, limits or return_to_start.ReturnLimits())
        self.flight.take(RolloutOrder(1, until, horizon, 0.0, 0.0))
        self.companion, self.guide = Companion(Link(), 100), GeometricGuide(self.craft, GAINS)
        self.integral = self.guide.initial_state(1)
        self.rows, self.news, self.lowest, self.samples, self.due = [], [], math.inf, 0, 0.0
        self.thrusts = []
        self.deaf = False

    def fly(self, until, seconds):
        """Fly until the condition is true; fails after so many seconds of the vehicle's time."""
        end = self.rig.now + seconds
        while not until():
            assert self.rig.now < end, f"not within {seconds} s: {self.flight.reset}\n{self.flight.counts}\n{self.news}"
            self.tick()
        return self

    def tick(self):
        vehicle, now = self.rig.vehicle, self.rig.now + 0.004
        for port, data in vehicle.advance(now):
            if port == "onboard" and not self.deaf:
                for sample in self.companion.receive(data, now):
                    self.samples += 1
                    self.obey(self.flight.see(sample._replace(tick=self.samples), *self.status))
        if now >= self.due:
            self.due = now + 0.02
            for data in self.companion.due(now):
                vehicle.receive("onboard", data, now)
            self.obey(self.flight.wait(now, *self.status))
        if self.flight.phase is ReturnPhase.EPISODE:
            self.lowest = min(self.lowest, self.rig.height)

    @property
    def status(self):
        return self.companion.status(), self.companion.ready

    def obey(self, step):
        vehicle, now = self.rig.vehicle, self.rig.now
        self.rows += step.rows
        self.news += step.news
        if step.ask is not None:
            vehicle.receive("onboard", packet(step.ask, self.companion.link, now), now)
        if step.action is not None:
            thrust, rates = link.thrust_and_rates(step.action, self.craft)
            self.thrusts.append(thrust)
            vehicle.receive("onboard", self.companion.link.rates(thrust, rates, now), now)
        if step.shown is not None:
            tick, seen = step.shown.tick, step.shown.seen
            if seen.flags[0] & FIRST:
                self.integral = self.guide.initial_state(1)
            action, self.integral = self.guide.act(seen.observation, self.integral)
            self.obey(self.flight.answer("guide/action", tick, action))
            answer = self.policy(seen.observation, action)
            if answer is not None:
                self.obey(self.flight.answer("policy/action", tick, np.asarray(answer, np.float32).reshape(1, -1)))

    def episodes(self):
        """The rows of each finished episode."""
        found, current = [], []
        for sent in self.rows:
            current.append(sent.rows)
            if sent.rows.flags[0] & END:
                found.append(current)
                current = []
        return found


def as_the_guide(observation, guide):
    return guide


@pytest.fixture
def live(rig):
    return lambda policy=as_the_guide, **options: Live(rig, policy, **options)


def test_it_flies_episodes_from_starts_of_their_own_and_its_rows_fill_a_buffer(live):
    flight = live()
    flight.fly(lambda: len(flight.episodes()) == 3, 120)
    assert [sent.tick for sent in flight.rows] == list(range(len(flight.rows)))
    starts = []
    for rows in flight.episodes():
        flags = [row.flags[0] & (FIRST | END) for row in rows]
        assert flags == [FIRST, *[0] * 59, TRUNCATED]
        starts.append(rows[0].observation[0, :3])
        assert np.linalg.norm(rows[-1].observation[0, :3]) < np.linalg.norm(rows[0].observation[0, :3])
        assert all(0 < row.reward[0] <= 1 or np.linalg.norm(row.observation[0, :3]) > 0.8 for row in rows[:-1])
    apart = [np.linalg.norm(a - b) for i, a in enumerate(starts) for b in starts[:i]]
    assert min(apart) > 0.3 and np.abs(starts).max() < 2.4
    assert flight.flight.counts["flown"] == 3 and not flight.flight.counts["crashed"]
    buffer = SequenceBuffer(4096, 1)
    for sent in flight.rows:
        rows = sent.rows
        assert rows.rotor_speed is None and rows.disturbance is None  # a flight does not know them
        buffer.add(rows._replace(rotor_speed=np.zeros((1, 4)), disturbance=np.zeros((1, 6))))
    window = buffer.sample(32, 50, 10, np.random.default_rng(0))
    assert window.mask.all() and not window.terminated.any()


@pytest.mark.parametrize("mass", [0.3, 1.0, 1.5])
def test_the_rotors_come_up_to_speed_at_the_same_share_of_thrust_whatever_the_vehicle_weighs(live, mass):
    """PX4 takes more than .09 of all thrust on the ground for flying."""
    flight = live(mass=mass)
    flight.fly(lambda: flight.flight.phase is ReturnPhase.CLIMB, 30)
    assert flight.thrusts[-51:-1] == pytest.approx([0.08] * 50, abs=1e-6)  # the last command is the guide's


def test_the_guide_flies_the_steps_of_the_jump_start(live):
    flight = live(lambda observation, guide: 0.5 * guide, horizon=40.0)
    flight.fly(lambda: len(flight.episodes()) == 2, 120)
    shares = []
    for rows in flight.episodes():
        by_guide = [bool(row.flags[0] & GUIDE) for row in rows[:-1]]
        assert by_guide == sorted(by_guide, reverse=True)  # first the guide, then the policy
        for row, guided in zip(rows, by_guide, strict=False):
            assert row.action == pytest.approx(row.guide_action if guided else 0.5 * row.guide_action, abs=1e-6)
        shares.append(sum(by_guide))
    assert set(shares) == {40}  # this recipe draws none


@pytest.mark.parametrize(
    "policy",
    [lambda o, g: [0, 1, 0, 0], lambda o, g: [1, 0, 0, 0], lambda o, g: [-1, 0, 0, 0], lambda o, g: -g],
    ids=["rolls over", "climbs away", "cuts the motors", "does the contrary"],
)
def test_a_policy_that_would_crash_ends_its_episode_and_never_reaches_the_ground(live, policy):
    flight = live(policy, steps=250)
    flight.fly(lambda: len(flight.episodes()) == 2 and flight.flight.phase is ReturnPhase.EPISODE, 60)
    assert [rows[-1].flags[0] & END for rows in flight.episodes()] == [TERMINATED] * 2
    assert flight.lowest > 0.3 and flight.flight.reset.attempts == 0
    assert flight.rig.vehicle.plant.hardest_touchdown < 0.1  # from before the take-off


def test_an_answer_that_is_not_finite_never_leaves_and_the_guide_flies_at_once(live):
    flight = live(lambda o, g: [0, math.nan, 0, 0] if len(flight.rows) > 30 else g)
    flight.fly(lambda: flight.episodes(), 60)
    rows = flight.episodes()[0]
    assert len(rows) == 33 and rows[-1].flags[0] & END == TRUNCATED
    assert all(np.isfinite(row.action).all() for row in rows)
    assert "episode ended: policy/action: wanted four finite numbers" in flight.news


def test_a_policy_that_falls_silent_cuts_the_episode_and_in_the_end_the_flight(live, monkeypatch):
    monkeypatch.setattr("spike_ctrl_sitl.live_training.autopilot_simulator.SILENCE", 6)
    flight = live(lambda o, g: None if len(flight.rows) > 20 else g)
    flight.fly(lambda: flight.episodes(), 60)
    assert len(flight.episodes()[0]) == 25 and flight.episodes()[0][-1].flags[0] & END == TRUNCATED
    flight.fly(lambda: flight.flight.phase is ReturnPhase.ENDED, 400)
    assert flight.flight.failure == "no policy/action from snn_policy to 6 states in a row"
    assert not flight.rig.armed and flight.rig.height == 0


def test_a_vehicle_disarmed_in_the_air_falls_is_armed_again_and_flies_on(live):
    flight = live(steps=250)
    flight.fly(lambda: len(flight.rows) == 2, 60)  # still level
    flight.rig.tell(flight.rig.arm(0, 21196.0))
    flight.fly(lambda: flight.flight.phase is ReturnPhase.WAIT, 5)
    assert flight.episodes()[0][-1].flags[0] & END and "the autopilot disarmed it" in " ".join(flight.news)
    flight.fly(lambda: len(flight.episodes()) == 2, 120)
    assert flight.flight.counts["flown"] == 1 and flight.flight.reset.attempts == 0


def test_a_vehicle_that_lies_on_its_side_ends_the_flight_with_that_reason(live):
    flight = live(lambda observation, guide: [0, 1, 0, 0], steps=250)
    flight.fly(lambda: flight.rig.tilt > 60, 60)
    flight.rig.tell(flight.rig.arm(0, 21196.0))
    flight.fly(lambda: flight.flight.phase is ReturnPhase.ENDED, 30)
    assert flight.flight.failure.startswith("the vehicle lies on its side") and flight.rig.tilt > 40


def test_a_simulation_whose_vehicle_lies_on_its_side_is_restarted_and_the_flight_goes_on(live):
    flight = live(lambda observation, guide: [0, 1, 0, 0] if not flight.episodes() else guide, steps=250, limits=ONE_RESTART)
    flight.fly(lambda: flight.rig.tilt > 60, 60)
    flight.rig.tell(flight.rig.arm(0, 21196.0))
    flight.fly(lambda: len(flight.episodes()) == 2, 120)
    assert "the vehicle lies on its side: its simulation is restarted" in flight.news and flight.flight.reset.restarts == 1
    assert flight.flight.counts["flown"] == 1 and flight.flight.failure == ""


def test_a_restart_stands_the_vehicle_level_where_it_lies_and_is_refused_while_it_is_armed(rig):
    rig = rig()
    plant = rig.vehicle.plant
    dynamics.write(plant.buffer, slice(0, 7), [(1.5, -2.0, 0.0, 0.5, 0.5, -0.5, 0.5)])
    rig.vehicle.receive("onboard", Link().end_simulation(rig.now), rig.now)
    rig.run(0.1)
    x, y, z = rig.vehicle.truth.position
    assert (x, y, z) == pytest.approx((1.5, -2.0, 0.0)) and rig.tilt < 1e-3
    rig.run(3.0)
    rig.tell(rig.arm(1))
    rig.run(0.1)
    dynamics.write(plant.buffer, slice(3, 7), [(0.5, 0.5, -0.5, 0.5)])
    rig.vehicle.receive("onboard", Link().end_simulation(rig.now), rig.now)
    rig.run(0.02)
    assert rig.tilt > 40


def test_a_failsafe_of_the_autopilot_is_not_disturbed_and_the_flight_goes_on_after_it(live):
    flight = live()
    flight.fly(lambda: len(flight.rows) == 20, 60)
    flight.rig.tell(flight.rig.mode_request(RTL), port="station")
    flight.fly(lambda: len(flight.episodes()) == 2, 200)
    assert "the autopilot went to mode return" in " ".join(flight.news)
    assert flight.flight.counts["flown"] == 1


def test_without_the_learners_order_it_hovers_and_flies_on_when_it_comes(live):
    flight = live(until=50)
    flight.fly(lambda: flight.episodes(), 60)
    assert [sent.tick for sent in flight.rows] == list(range(50)) and flight.rows[-1].rows.flags[0] & TRUNCATED
    flight.fly(lambda: flight.flight.phase is ReturnPhase.READY, 30)
    seen = flight.rig.now
    flight.fly(lambda: flight.rig.now > seen + 3, 5)
    assert flight.flight.waits and len(flight.rows) == 50 and flight.rig.height > 1
    flight.flight.take(RolloutOrder(2, 400, 0.0, 0.0, 0.0))
    flight.fly(lambda: len(flight.episodes()) == 2, 10)
    assert {sent.epoch for sent in flight.rows[50:]} == {2}


def test_told_to_end_it_lands_and_disarms(live):
    flight = live()
    flight.fly(lambda: len(flight.rows) == 20, 60)
    flight.flight.stop(flight.rig.now)
    flight.fly(lambda: flight.flight.phase is ReturnPhase.ENDED, 60)
    assert not flight.rig.armed and flight.rig.height == 0 and flight.flight.failure == ""
    assert flight.rig.vehicle.plant.hardest_touchdown < 1.0


def test_an_autopilot_that_falls_silent_ends_the_flight_with_that_reason(live):
    flight = live()
    flight.fly(lambda: len(flight.rows) == 20, 60)
    flight.deaf = True
    flight.fly(lambda: flight.flight.phase is ReturnPhase.ENDED, 10)
    assert flight.flight.failure == "no state from the autopilot for 5 s (fly the episode)"


def test_a_simulation_that_ends_during_the_ordered_landing_is_no_failure(live):
    flight = live()
    flight.fly(lambda: len(flight.rows) == 20, 60)
    flight.flight.stop(flight.rig.now)
    flight.deaf = True
    flight.fly(lambda: flight.flight.phase is ReturnPhase.ENDED, 10)
    assert flight.flight.failure == "" and not [text for text in flight.news if text.startswith("no state")]


def test_a_vehicle_that_cannot_be_armed_ends_the_flight_with_that_reason(live):
    flight = live(
        parameters={"MAV_FWDEXTSP": 0}, limits=return_to_start.ReturnLimits(arm=2.0)
    )  # it does not hear the stream
    flight.fly(lambda: flight.flight.phase is ReturnPhase.ENDED, 120)
    assert flight.flight.failure.startswith("no start was reached in 3 attempts; the last: not armed in offboard mode")
    assert flight.flight.failure.endswith("found mode offboard, disarmed")


def test_a_vehicle_that_is_not_ready_ends_the_flight_with_that_reason(live):
    flight = live(parameters={"SYS_FAILURE_EN": 1}, limits=return_to_start.ReturnLimits(ready=5.0))
    failure = flight.rig.command(mavlink.MAV_CMD_INJECT_FAILURE, mavlink.FAILURE_UNIT_SYSTEM_BATTERY, 1)
    flight.rig.tell(failure)
    flight.fly(lambda: flight.flight.phase is ReturnPhase.ENDED, 10)
    assert flight.flight.failure.startswith("not ready to arm for 5 s: wanted PREARM_CHECK")


def test_noise_of_the_estimate_does_not_keep_it_from_its_starts(live):
    flight = live(noise=1.0, parameters={"EKF2_ACC_NOISE": 1.0, "EKF2_GYR_NOISE": 0.1})
    flight.fly(lambda: len(flight.episodes()) == 2, 120)
    assert flight.flight.counts["flown"] == 2


# --- the way to a start, without a vehicle --------------------------------------------------------------------------


def facts(now, mode=Mode.OFFBOARD, armed=True, landed=False, ready=True):
    return ReturnFacts(now, Autopilot(now, now, mode, armed, landed), None, ready)


def test_a_pilot_who_takes_over_is_left_alone():
    state, order = return_to_start.advance(
        ReturnState(ReturnPhase.EPISODE, 0.0), facts(1.0, Mode.OTHER), return_to_start.ReturnLimits()
    )
    assert order.phase is ReturnPhase.ENDED and order.ask is None and order.fly is return_to_start.FlownSetPoint.NOTHING
    assert state.failure == "taken over: found mode other, wanted offboard"


def test_a_vehicle_that_flies_already_is_not_touched():
    still = Sample(1, 0.0, 0.0, (0.0,) * 3, (0.0, 0.0, 0.0, 1.0), (0.0,) * 3, (0.0,) * 3)
    state, order = return_to_start.advance(
        ReturnState(), facts(0.0, Mode.HOLD)._replace(sample=still), return_to_start.ReturnLimits()
    )
    assert state.failure == "the vehicle is in the air already: land it first" and order.ask is None


def test_where_the_pilot_arms_an_armed_vehicle_takes_off_and_a_landed_one_waits_for_the_pilot():
    limits = return_to_start.ReturnLimits(pilot_arms=True)
    still = Sample(1, 0.0, 0.0, (0.0,) * 3, (0.0, 0.0, 0.0, 1.0), (0.0,) * 3, (0.0,) * 3)
    armed = facts(1.0, Mode.OTHER, armed=True, landed=True)._replace(sample=still)
    assert return_to_start.advance(ReturnState(), armed, limits)[1].phase is ReturnPhase.ARM
    assert return_to_start.advance(ReturnState(), armed, return_to_start.ReturnLimits())[1].phase is ReturnPhase.DISARM
    landing = ReturnState(ReturnPhase.LAND, 0.0, ending=True)
    landing, order = return_to_start.advance(landing, armed, limits)
    assert order.phase is ReturnPhase.DISARM and not landing.failure
    landing, order = return_to_start.advance(landing, facts(2.0, Mode.OTHER, armed=False, landed=True), limits)
    assert order.phase is ReturnPhase.ENDED and not landing.failure


def test_a_vehicle_that_does_not_disarm_is_asked_then_forced_then_given_up():
    state, asked = ReturnState(ReturnPhase.DISARM, 0.0), []
    for tick in range(2000):
        state, order = return_to_start.advance(state, facts(0.01 * tick), return_to_start.ReturnLimits())
        asked += [order.ask] if order.ask else []
    assert (
        asked[0] is AutopilotRequest.DISARM
        and asked[-1] is AutopilotRequest.FORCED_DISARM
        and asked == sorted(asked, key=lambda a: a.value)
    )
    assert state.failure == "the autopilot does not disarm"


def test_a_room_that_reaches_into_the_ground_is_refused():
    with pytest.raises(UsageError, match=r"room: height: found 3 m, wanted at least 4.5, half \+ 0.5"):
        Room(height=3, half=4)


def test_a_flight_on_an_autopilot_refuses_inserted_physics_in_words():
    plan = recipe.from_dict({"name": "blown", "task": {"insert": {"wind": "mine:gust"}}})
    with pytest.raises(ValueError, match=r"task\.insert: found wind: mine:gust, wanted none for a flight on an autopilot"):
        RoomEpisodes(plan, airframe.load("sih_quadx"), Room(), 0)
