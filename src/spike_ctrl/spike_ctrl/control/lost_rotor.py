"""The guide of a quadrotor with a weak, lost or stuck rotor: it spins about a tilted axis where it cannot hover otherwise.

A hover with spin is a periodic solution: the body rates w stay constant, the vehicle turns about an axis n = w/|w| that is
vertical in the world and fixed in the body, and the thrust carries the weight in the mean of a turn (Mueller and D'Andrea,
2014, "Stability and control of a quadrocopter despite the complete loss of one, two, or three propellers"). With F the sum
of the thrusts, tau their torque, J the inertia and d the drag of turning:

    F n_z = m g,    tau = w x J w + d w

so w gives the four thrusts, and hovers are those w whose thrusts the rotors can give. Control keeps the body axis n along
the wanted force (reduced attitude), for a time ahead at which the rotors will have followed. Yaw gets what is left.
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.kernel import kernel
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.control.geometric_guide import Gains, GeometricGuide

Array = NDArray[Any]
TILTS, WAYS = np.radians([0.0, *np.geomspace(1, 60, 24)]), np.linspace(0, 2 * np.pi, 24, endpoint=False)  # of axes, rad
OBEYS = np.full(4, -1.0)  # the speeds at which rotors are stuck where none is
SHARES = np.linspace(0.0, 1.0, 21)  # of a rotor's thrust, and of the full speed of a stuck one, of which the hovers are kept
MARGIN, RADIUS, EXACT = 0.03, 0.1, 1e-9  # share of the largest thrust, for control; m, of a hover's circle; N, of rounding
# Position: frequency (rad/s), damping, most sideward acceleration (m/s^2). Axis: frequency, damping, largest error (rad),
# turn (rad/s) that is cancelled. Time ahead (s); damping of yaw (1/s); weights of force and yaw beside torques of 1.
TUNING = np.array([1.9, 1.5, 4.6, 18.5, 0.61, 1.4, 4.3, 0.031, 2.8, 0.25, 9.4e-3])


class Hover(NamedTuple):
    """A hover: body rates (3,) in rad/s, the body axis (3,) that points up, and the rotors' thrusts (4,) in N."""

    rates: Array
    axis: Array
    thrusts: Array


def effect(craft: Airframe) -> Array:
    """What the thrusts make (4, 4): rows force (N) and torques about x, y, z (N m)."""
    x, y, spin = (np.array(v) for v in (craft.rotor_x, craft.rotor_y, craft.rotor_spin))
    return np.array([np.ones(4), y, -x, craft.torque_per_thrust * spin])


def hover(craft: Airframe, effectiveness: Any, margin: float = 0.0, stuck: Any = OBEYS) -> Hover | None:
    """The slowest hover of a vehicle whose rotors give these shares (4,) of their thrust; None where it cannot hover.

    margin: share of the largest thrust that each rotor keeps to both sides, as far as a weak one can. stuck (4,): speeds,
    0 to 1, that rotors keep to; negative: they obey. Axes are searched on a grid; the turn about each is exact.
    """
    e, inertia, mixer = np.asarray(effectiveness, float), np.array(craft.inertia), np.linalg.inv(effect(craft)).T
    low, high = _range(e, np.asarray(stuck, float), *np.array(craft.thrust_curve))
    spare = np.minimum(margin * craft.thrust(1.0), (high - low) / 4)
    low, high = low + spare, high - spare
    tilt, way = (v.ravel() for v in np.meshgrid(TILTS, WAYS + np.arctan2(craft.rotor_y[3], craft.rotor_x[3])))
    n, none = np.stack([np.sin(tilt) * np.cos(way), np.sin(tilt) * np.sin(way), np.cos(tilt)], -1), 0 * tilt[:, None]
    # Thrusts are a + b w + c w^2 of the turn w about n. The slowest that fits is 0, or brings a rotor to a limit.
    a = np.hstack([craft.mass * GRAVITY / n[:, 2:], 0 * n]) @ mixer
    b, c = np.hstack([none, craft.angular_drag * n]) @ mixer, np.hstack([none, np.cross(n, inertia * n)]) @ mixer
    with np.errstate(all="ignore"):
        q = [-0.5 * (b + np.copysign(np.sqrt(b * b - 4 * (a - limit) * c), b)) for limit in (low, high)]
        least = np.sqrt(GRAVITY * np.tan(tilt) / RADIUS)[:, None]  # a slower turn would lead it round a wider circle
        turns = np.hstack([none, least, -least, q[0] / c, q[1] / c, (a - low) / q[0], (a - high) / q[1]])
        thrusts = a[:, None] + b[:, None] * turns[..., None] + c[:, None] * turns[..., None] ** 2
        fits = ((thrusts >= low - EXACT) & (thrusts <= high + EXACT)).all(-1)
    fits &= np.abs(turns) >= least
    slowest = np.where(fits, np.abs(turns), np.inf)
    i, j = np.unravel_index(int(np.argmin(slowest)), slowest.shape)
    return Hover(turns[i, j] * n[i], n[i], thrusts[i, j]) if fits[i, j] else None


@lru_cache(maxsize=32)
def _hovers(craft: Airframe) -> Array:
    """Of each rotor that gives SHARES of its thrust, and of each that is stuck at these speeds (2, 4, SHARES, 3): x and y of
    the hover's axis over z, and its turn (rad/s).

    Where it cannot hover, those of the next speed or share with which it can, towards the level hover.
    """
    found, level = np.zeros((2, 4, len(SHARES), 3)), int(np.argmin(np.abs(SHARES - craft.hover)))
    outwards = range(level, -1, -1), range(level, len(SHARES))
    for rotor in range(4):
        one = np.eye(4)[rotor]
        for stuck, way in ((0, range(len(SHARES) - 1, -1, -1)), *((1, way) for way in outwards)):
            last = np.zeros(3)
            for i in way:
                told = (np.ones(4), OBEYS + one * (SHARES[i] + 1)) if stuck else (1 - one * (1 - SHARES[i]), OBEYS)
                at = hover(craft, told[0], MARGIN, told[1]) or hover(craft, told[0], 0.0, told[1])
                last = last if at is None else np.array([*at.axis[:2] / at.axis[2], at.rates @ at.axis])
                found[stuck, rotor, i] = last
    return found


def _range(e: Array, stuck: Array, c0: Array, c1: Array, c2: Array) -> tuple[Array, Array]:
    """The least and the largest thrust (N) of rotors that give the share e, or are stuck at a speed, by their curves."""
    kept = c0 + stuck * (c1 + stuck * c2)
    return np.where(stuck < 0, e * c0, kept), np.where(stuck < 0, e * (c0 + c1 + c2), kept)


class LostRotorGuide(GeometricGuide):
    """Guide for a batch of vehicles of one airframe that is told how much of each rotor's thrust is left; layout `motors`.

    Vehicles with whole rotors fly as by `GeometricGuide`. Raises UsageError for another layout.
    """

    def __init__(self, airframe: str | Path | Airframe, gains: Gains = Gains(), rate_hz: float = 100.0) -> None:
        super().__init__(airframe, gains, rate_hz)
        self.airframe.require_layout("motors")
        self._effect = effect(self.airframe) / np.array([[1], [1], [1], [self.airframe.torque_per_thrust]])

    def initial_state(self, vehicles: int) -> np.ndarray:
        """Integral of the position error, m/s^2, and the rotors' speeds where they are not given: (N, 7)."""
        return np.hstack([super().initial_state(vehicles), np.full((vehicles, 4), self.airframe.hover, np.float32)])

    def reset_rows(self, state: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The state with the vehicles of the mask (N,) back at the initial state."""
        return np.where(mask[:, None], self.initial_state(1), state)

    def act(
        self,
        observation: np.ndarray,
        state: np.ndarray,
        rotor_speed: np.ndarray | None = None,
        disturbance: np.ndarray | None = None,
        plant: np.ndarray | None = None,
        *,
        measured: bool = False,
        effectiveness: np.ndarray | None = None,
        stuck: np.ndarray = OBEYS,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `GeometricGuide.act`; effectiveness (N, 4): the share of its thrust that each rotor gives, or None: all.

        stuck (N, 4): speeds, 0 to 1, that rotors keep to; negative: they obey.
        """
        action, integral = super().act(observation, state[:, :3], rotor_speed, disturbance, plant, measured=measured)
        speeds = state[:, 3:] if rotor_speed is None else rotor_speed
        plants = np.broadcast_to(self._nominal if plant is None else plant, (len(action), self._nominal.shape[1]))
        one = np.ones((len(action), 1))
        e, stuck = one * (1.0 if effectiveness is None else effectiveness), one * stuck
        if len(weak := np.flatnonzero(((e < 1) | (stuck >= 0)).any(-1))):
            told = np.zeros((len(action), 6)) if disturbance is None else disturbance - np.zeros((len(action), 6))
            told[:, :3] -= plants[:, :1] * integral
            action[weak] = self._spin(*(v[weak].astype(float) for v in (observation, speeds, plants, e, stuck, told)))
        wanted = np.clip((action + 1) / 2, 0, 1) - speeds
        gained = -np.expm1(-self._dt / np.where(wanted > 0, plants[:, 8:9], plants[:, 9:10])) * wanted
        return action, np.hstack([integral, speeds + gained]).astype(np.float32)

    def _spin(self, o: Array, speeds: Array, plant: Array, e: Array, stuck: Array, disturbance: Array) -> Array:
        """Actions (N, 4) of vehicles with a weak or stuck rotor. disturbance: as `act` has it."""
        wp, zp, most, wt, zt, farthest, cancels, ahead, calm, w_force, w_yaw = TUNING
        mass, inertia = plant[:, :1], plant[:, 1:4]
        c0, c1, c2, torque, up, down, _, drag = plant[:, 4:, None].swapaxes(0, 1)
        row, d = np.array([1.0, 1.0, 1.0, 0.0]), disturbance
        made = self._effect * (row + (1 - row) * torque)[..., None]
        # The wanted force over the mass, which the thrust has to make in the mean of a turn.
        wanted = -wp * wp * o[:, :3] / np.maximum(1.0, _size(o[:, :3])) - 2 * zp * wp * o[:, 12:15]
        wanted[:, :2] *= np.minimum(1.0, most / np.maximum(_size(wanted[:, :2]), 1e-6))
        wanted[:, 2] = np.maximum(wanted[:, 2], -0.6 * GRAVITY) + GRAVITY
        wanted -= d[:, :3] / mass
        # The motion when the rotors will have followed.
        attitude, w = o[:, 3:12].reshape(-1, 3, 3).copy(), o[:, 15:18].copy()
        moment = _times(made[:, 1:], e * (c0 + speeds * (c1 + speeds * c2))) + d[:, 3:]
        steps = math.ceil((ahead + self.airframe.dead_time) / 0.01)
        _turn_on(attitude, w, moment, inertia, drag[:, 0], (ahead + self.airframe.dead_time) / steps, steps)
        # The axis of the hover, upright while the turn is slow.
        kind = (stuck >= 0).any(-1).astype(int)
        lost = np.where(kind, stuck.argmax(-1), e.argmin(-1))
        at = np.where(kind, stuck.max(-1), e.min(-1)) * (len(SHARES) - 1)
        i = np.minimum(at.astype(int), len(SHARES) - 2)
        hovers = _hovers(self.airframe)[kind, lost]
        before, after = hovers[np.arange(len(i)), i], hovers[np.arange(len(i)), i + 1]
        found = before + (at - i)[:, None] * (after - before)
        share = np.minimum(np.abs(w[:, 2:]) / np.maximum(np.abs(found[:, 2:]), 1.0), 1.0) ** 2
        n = np.hstack([share * found[:, :2], np.ones((len(i), 1))])
        n /= _size(n)
        # What turns it to the force. A slow turn is cancelled; a fast vehicle is a top, which yields at a right angle.
        to = _times(attitude.swapaxes(1, 2), wanted / _size(wanted))
        axis, cosine, turn = _cross(n, to), (n * to).sum(-1, keepdims=True), (w * n).sum(-1, keepdims=True)
        apart = axis / np.maximum(_size(axis), 1e-6) * np.minimum(np.arctan2(_size(axis), cosine), farthest)
        across, cancelled, damping = w - turn * n, np.minimum(cancels / np.maximum(np.abs(turn), 1e-6), 1.0), 2 * zt * wt
        top = 2 * inertia[:, 2:] / (inertia[:, :1] + inertia[:, 1:2]) * (1 - cancelled) * turn
        steady = turn**2 * _cross(n, inertia * n) + drag * turn * n
        coupled = _cross(w, inertia * w) + drag * w - steady - inertia * _cross(w, across)
        gain = wt / (2 * zt) * (damping * apart - top * _cross(n, apart)) - damping * across + cancelled * coupled / inertia
        gain -= gain[:, 2:] / n[:, 2:] * n  # by turning faster: roll and pitch are what the rotors turn best
        low, high = _range(e, stuck, c0, c1, c2)
        force = np.minimum(mass * _size(wanted) * np.maximum(cosine, 0.2) / n[:, 2:], high.sum(-1, keepdims=True))
        demand = np.hstack([force, (inertia * gain + steady - d[:, 3:])[:, :2], -inertia[:, 2:] * calm * w[:, 2:]])
        arm = np.abs(self._effect[1]).mean()
        weight = np.hstack([np.full_like(force, w_force), np.full((len(i), 2), 1 / arm), w_yaw / torque])
        thrusts = np.clip(np.linalg.solve(made, demand[..., None])[..., 0], low, high)
        _allocate(made * weight[..., None], demand * weight, low, high, thrusts)
        square = np.where(c2 == 0, 1e-9 * c1, c2)
        u = (np.sqrt(np.maximum(c1 * c1 - 4 * square * (c0 - thrusts / np.maximum(e, 1e-6)), 0.0)) - c1) / (2 * square)
        u = speeds - (u - speeds) / np.expm1(-ahead / np.where(u > speeds, up, down))
        return np.asarray(np.clip(2 * u - 1, -1.0, 1.0))


def told_rotors(numbers: Array) -> dict[str, Array]:
    """What `LostRotorGuide.act` is told of one vehicle by 12 numbers: effectiveness, speeds and stuck of its rotors.

    Empty where all are whole.
    """
    effectiveness, speeds, stuck = np.asarray(numbers, np.float32).reshape(3, 1, 4).clip(-1.0, 1.0)
    weak = (effectiveness < 1).any() or (stuck >= 0).any()
    return {"effectiveness": effectiveness, "rotor_speed": speeds, "stuck": stuck} if weak else {}


def flight_guide(airframe: Airframe, gains: Gains = Gains(), rate_hz: float = 100.0) -> GeometricGuide:
    """The guide that backs a policy up: where it commands motors, one that can be told of a lost rotor."""
    kind = LostRotorGuide if airframe.action_layout == "motors" else GeometricGuide
    return kind(airframe, gains, rate_hz)


def _size(vectors: Array) -> Array:
    return np.asarray(np.linalg.norm(vectors, axis=-1, keepdims=True))


def _times(matrices: Array, vectors: Array) -> Array:
    return np.asarray((matrices @ vectors[..., None])[..., 0])


def _cross(a: Array, b: Array) -> Array:
    return np.asarray(a[:, [1, 2, 0]] * b[:, [2, 0, 1]] - a[:, [2, 0, 1]] * b[:, [1, 2, 0]])


@kernel(cache=True, nogil=True)
def _turn_on(attitude: Array, w: Array, moment: Array, inertia: Array, drag: Array, h: float, steps: int) -> None:
    """Attitudes (N, 3, 3) and body rates (N, 3) after so many steps of h (s): midpoint rule, and Rodrigues' formula."""
    for v in range(len(w)):
        jx, jy, jz = inertia[v]
        for _ in range(steps):
            x, y, z = w[v]
            for part in (0.5, 1.0):
                p = w[v, 0] + part * h * (moment[v, 0] - drag[v] * x - (jz - jy) * y * z) / jx
                q = w[v, 1] + part * h * (moment[v, 1] - drag[v] * y - (jx - jz) * z * x) / jy
                r = w[v, 2] + part * h * (moment[v, 2] - drag[v] * z - (jy - jx) * x * y) / jz
                if part < 1:
                    x, y, z = p, q, r
            w[v, 0], w[v, 1], w[v, 2] = p, q, r
            x, y, z = h * x, h * y, h * z
            angle = math.sqrt(x * x + y * y + z * z) + 1e-9
            s, c = math.sin(angle) / angle, (1 - math.cos(angle)) / angle**2
            for row in range(3):
                a, b, d = attitude[v, row, 0], attitude[v, row, 1], attitude[v, row, 2]
                e, f, g = b * z - d * y, d * x - a * z, a * y - b * x  # the row times the matrix of the cross product
                attitude[v, row, 0] = a + s * e + c * (f * z - g * y)
                attitude[v, row, 1] = b + s * f + c * (g * x - e * z)
                attitude[v, row, 2] = d + s * g + c * (e * y - f * x)


@kernel(cache=True, nogil=True)
def _allocate(made: Array, wanted: Array, low: Array, high: Array, found: Array) -> None:
    """The thrusts (N, 4) within bounds that make |made thrusts - wanted| least, from a guess on: coordinate descent."""
    for v in range(len(low)):
        x = found[v]
        left = made[v] @ x - wanted[v]
        for i in range(400):
            j = i % 4
            along = square = 0.0
            for row in range(4):
                along += made[v, row, j] * left[row]
                square += made[v, row, j] ** 2
            change = min(max(x[j] - along / square, low[v, j]), high[v, j]) - x[j]
            x[j] += change
            for row in range(4):
                left[row] += made[v, row, j] * change
