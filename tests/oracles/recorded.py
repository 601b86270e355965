"""Flights of the library's own simulator, written to bags as the recorder would have: no ROS, no waiting."""

import functools
import hashlib
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.learn.rollout import Rollout
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.recordings import message_definitions
from spike_ctrl.recordings.writer import BagWriter
from spike_ctrl.sim import observation
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.episode_flags import FIRST

KINDS = (
    "VehicleState", "VehicleAction", "Transition", "Checkpoint", "PolicyStatus", "FlightState", "SetPoint",
    "SupervisorStatus", "FlightCommand",
)  # fmt: skip
EPOCH = 3


def messages(bag: Path) -> dict[str, list]:
    """The messages of each topic."""
    found: dict[str, list] = {}
    with AnyReader([bag]) as reader:
        for connection, _, raw in reader.messages():
            found.setdefault(connection.topic, []).append(reader.deserialize(raw, connection.msgtype))
    return found


def ticks(messages: list) -> list[int]:
    """The ticks in their order, once each: a state that nobody answers within a second is sent again."""
    return [tick for tick, _ in groupby(message.tick for message in messages)]


@functools.cache
def _types():
    """All types of messages; what writes them is compiled once in a process."""
    store = message_definitions.standard()
    for kind in KINDS:
        message_definitions.add(store, f"spike_ctrl_msgs/msg/{kind}", [sys.prefix])
    return store


class Bag:
    """Writes messages of spike_ctrl_msgs given as keywords; fields that are not given are 0 or empty."""

    def __init__(self, path: Path):
        self.store = _types()
        self.writer = BagWriter(path, self.store)

    def write(self, topic: str, kind: str, received: int, **fields) -> None:
        name = kind if "/" in kind else f"spike_ctrl_msgs/msg/{kind}"
        values = {field: self._empty(about) for field, about in self.store.fielddefs[name][1]}
        for field, value in fields.items():
            values[field] = np.ascontiguousarray(value).reshape(-1) if isinstance(value, np.ndarray) else value
        self.writer.add_topic(topic, name)
        self.writer.write(topic, received, bytes(self.store.serialize_cdr(self.store.types[name](**values), name)))

    def diagnostics(self, received: int, node: str, values) -> None:
        """What a node tells of itself in /diagnostics."""
        kinds, name = self.store.types, "diagnostic_msgs/msg/DiagnosticArray"
        pairs = [kinds["diagnostic_msgs/msg/KeyValue"](key, f"{value:.4g}") for key, value in values.items()]
        status = kinds["diagnostic_msgs/msg/DiagnosticStatus"](0, node, "", "", pairs)
        self.writer.add_topic("/diagnostics", name)
        self.writer.write(
            "/diagnostics", received, bytes(self.store.serialize_cdr(kinds[name](self.header(received), [status]), name))
        )

    def header(self, stamp: int):
        """Of that time, ns."""
        time = self.store.types["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
        return self.store.types["std_msgs/msg/Header"](time, "odom")

    def _empty(self, about):
        kind, detail = about
        if kind == 2:
            return self.header(0)
        if kind == 3:
            return np.zeros(detail[1], detail[0][1][0])
        if kind == 4:
            return [] if detail[0][1][0] == "string" else np.empty(0, detail[0][1][0])
        return "" if detail[0] == "string" else 0.0 if detail[0].startswith("float") else 0


def log(bag: Bag, tick: int, position, rungs) -> None:
    """What a flight beside an autopilot adds: the state in the world, 2 m east of the set-point's frame, and who flies.

    rungs: {tick: (rung, event)} at which the supervisor speaks. The command follows .8 ms after the state.
    """
    at, here = tick * 10_000_000, np.array([2.0, 0.0, 1.0])
    bag.write("/flight_state", "FlightState", at, tick=tick, position=position + here, quaternion=np.array([0.0, 0, 0, 1]))
    if tick % 10 == 5:
        bag.write("/set_point", "SetPoint", at, position=here)
    if tick in rungs:
        rung, event = rungs[tick]
        bag.write("/supervisor/status", "SupervisorStatus", at, rung=rung, reason="made up", events=[event])
    bag.write("/command", "FlightCommand", at + 800_000, tick=tick, layout="motors", action=np.zeros(4))


def write_flight(path, state, action, guide_action, layout, *, stamps=None, commander=None, ground=0, leave_out=()):
    """Write a flight of one vehicle to a bag as the flight nodes would: states (T + 1, 13) and actions (T, 4).

    state: position, quaternion x, y, z, w, velocity, rates; the set-point is the origin. stamps (T + 1,): s of the
    autopilot's clock; commander (T,): constants of FlightCommand; ground: ticks before the take-off.
    """
    bag = Bag(Path(path))
    for tick, row in enumerate(state):
        parts = {"position": row[:3], "quaternion": row[3:7], "velocity": row[7:10], "rates": row[10:13]}
        seen = observation.build(*parts.values())
        stamp = round((stamps[tick] if stamps is not None else tick / 100) * 1e9)
        header = bag.header(stamp)
        about = {"tick": tick, "vehicles": 1, "header": header}
        flags = np.uint8([FIRST if tick < ground else 0])
        messages = {
            "flight_state": (
                "FlightState",
                {"tick": tick, "header": header} | {k: v.astype(float) for k, v in parts.items()},
            ),
            "state": ("VehicleState", about | {"flags": flags, "observation": seen}),
        }
        if tick < len(action):
            told = {"action": action[tick].astype(float), "commander": 0 if commander is None else int(commander[tick])}
            guide = {"action": np.float32(guide_action[tick]), "checkpoint_id": "guide"}
            messages["command"] = ("FlightCommand", {"tick": tick, "layout": layout} | told)
            messages["guide/action"] = ("VehicleAction", about | {"layout": layout} | guide)
        for topic, (kind, fields) in messages.items():
            if topic not in leave_out:
                bag.write(f"/{topic}", kind, stamp, **fields)
    bag.writer.close()


def fly(
    path,
    model,
    *,
    ticks=300,
    vehicles=2,
    start=0,
    skip=(),
    leave_out=(),
    alter=None,
    name="run/3",
    layout="motors",
    runtime=SpikingPolicy,
    rungs=None,
):
    """Record a flight of a model to a bag at `path`; gives the rewards (ticks, vehicles) that the environment paid.

    start: ticks before it are flown and not recorded. skip: ticks whose state is not recorded. leave_out: topics.
    alter(tick, action): changes what is recorded of the policy's action, not what is flown. rungs: as of `log`, for a
    flight beside an autopilot.
    """
    data = Path(model).read_bytes()
    loaded, vehicle = checkpoint.loads(data), airframe.load("crazyflie")
    rollout = Rollout(Environment(vehicle, vehicles, Task(box=1.5, episode_steps=100)), seed=1)
    guide, bag = GeometricGuide(vehicle), Bag(Path(path))
    policy = loaded.policy if loaded.graph else runtime(loaded.weights, loaded.manifest.contract.neuron)
    state, guide_state = policy.initial_state(vehicles), guide.initial_state(vehicles)
    rewards = []
    if "policy/checkpoint" not in leave_out:
        about = {"epoch": EPOCH, "name": "run/3", "sha256": hashlib.sha256(data).hexdigest()}
        bag.write("/policy/checkpoint", "Checkpoint", 0, **about, data=np.frombuffer(data, np.uint8))
    for tick in range(ticks):
        seen = rollout.see()
        first = (seen.flags & FIRST) > 0
        state = policy.reset_rows(state, first)
        action, state = policy.step(seen.observation, state)
        guide_action, guide_state = guide.act(seen.observation, guide_state, seen.rotor_speed, seen.disturbance, None)
        observed = {key: np.array(value) for key, value in seen._asdict().items() if value is not None}
        rows = rollout.fly(seen, action, np.asarray(guide_action, np.float32), 0.0, 0.0)
        rewards.append(rows.reward)
        if tick < start:
            continue
        common = {"tick": tick, "epoch": EPOCH, "vehicles": vehicles}
        told = action.copy() if alter is None else alter(tick, action.copy())
        answer = common | {"layout": layout, "checkpoint_id": name}
        by_guide = answer | {"action": np.float32(guide_action), "checkpoint_id": "guide"}
        messages = {
            "state": ("VehicleState", common | observed, 0),
            "policy/action": ("VehicleAction", answer | {"action": told}, 1_500_000),
            "guide/action": ("VehicleAction", by_guide, 1_000_000),
            "transition": ("Transition", common | {k: np.array(v) for k, v in rows._asdict().items()}, 2_000_000),
        }
        for topic, (kind, fields, late) in messages.items():
            if topic not in leave_out and not (topic == "state" and tick in skip):
                bag.write(f"/{topic}", kind, tick * 10_000_000 + late, **fields)
        if rungs is not None:
            log(bag, tick, observed["observation"][0, :3].astype(float), rungs)
        if tick % 100 == 0 and "policy/status" not in leave_out:
            rates = np.float32(loaded.policy.spike_rates(state))
            bag.write("/policy/status", "PolicyStatus", tick * 10_000_000, tick=tick, previous_tick=max(tick - 1, 0),
                      epoch=EPOCH, spike_rate=rates, inference_time=2e-5, state_age=1e-3)  # fmt: skip
        if tick % 50 == 49:
            bag.writer.flush()
    bag.writer.close()
    return np.array(rewards)
