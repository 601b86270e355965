"""Battery, drag, velocity moment and dead time once more, in float64 with vectors: oracles of `dynamics` and its adjoint."""

import numpy as np
import torch
from differentiable import GRAVITY, rotation
from scipy.integrate import solve_ivp
from scipy.spatial.transform import Rotation

from spike_ctrl.airframe import BatteryModel

BATTERY = BatteryModel(full=4.2, empty=3.2, nominal=3.9, sag=0.5, sag_time=0.3, endurance=90.0, exponent=0.9)
TERMS = {
    "linear_drag": 0.003,
    "body_drag": (0.012, 0.02, 0.008),
    "velocity_moment": (2.0e-4, 3.5e-4),
    "trim_moment": (2e-5, -4e-5, 1e-5),
    "battery": BATTERY,
}
"""An airframe of 30 g with all terms but the dead time."""


def flown(craft, state, charge, voltage, u, seconds):
    """State (17), charge and voltage after `seconds` with constant commands u (4), by scipy's DOP853 with the true power."""
    mass, inertia, b = craft.mass, np.array(craft.inertia), craft.battery
    x, y, spin = (np.array(part) for part in (craft.rotor_x, craft.rotor_y, craft.rotor_spin))

    def slope(_, s):
        q, v, w, r = s[3:7], s[7:10], s[10:13], s[13:17]
        turn = Rotation.from_quat(q)
        thrust = craft.thrust_curve[0] + craft.thrust_curve[1] * r + craft.thrust_curve[2] * r**2
        body = turn.inv().apply(v)
        force = turn.apply([0, 0, thrust.sum()] - np.array(craft.body_drag) * body) - craft.linear_drag * v
        kx, ky = craft.velocity_moment
        torque = np.array([y @ thrust, -x @ thrust, craft.torque_per_thrust * spin @ thrust]) - craft.angular_drag * w
        torque += np.array([kx * body[1], -ky * body[0], 0]) + np.array(craft.trim_moment)
        dq = 0.5 * np.append(q[3] * w + np.cross(q[:3], w), -q[:3] @ w)
        factor = (s[18] / b.nominal) ** b.exponent
        error = factor * u - r
        load = np.mean(r**3)
        settled = b.empty + (b.full - b.empty) * s[17] - b.sag * load
        return np.concatenate([
            v, dq, force / mass - [0, 0, 9.81], (torque - np.cross(w, inertia * w)) / inertia,
            error / np.where(error > 0, craft.lag_up, craft.lag_down), [-load / b.endurance, (settled - s[18]) / b.sag_time],
        ])  # fmt: skip

    found = solve_ivp(slope, (0, seconds), [*state, charge, voltage], method="DOP853", rtol=1e-10, atol=1e-12)
    return found.y[:, -1]


def extended_step(craft, s, battery, u, plant, air, disturbance, arms, dt):
    """One step of `dynamics` in torch: states [N, 17], battery [N, 2], commands [N, 4] to states and battery."""
    b = craft.battery
    mass, inertia, curve, torque, up, down, drag, angular = plant.split([1, 3, 3, 1, 1, 1, 1, 1], -1)
    x, y, spin = arms
    charge, voltage = battery[:, :1], battery[:, 1:]
    goal = u * (voltage / b.nominal) ** b.exponent

    def slope(s):
        q, v, w, r = s[:, 3:7], s[:, 7:10], s[:, 10:13], s[:, 13:17]
        turn = rotation(q)
        body = (turn.transpose(1, 2) @ v[..., None])[..., 0]
        thrust = curve[:, :1] + curve[:, 1:2] * r + curve[:, 2:] * r * r
        lift = torch.nn.functional.pad(thrust.sum(-1, keepdim=True), (2, 0)) - air[:, :3] * body
        force = (turn @ lift[..., None])[..., 0] + disturbance[:, :3] - drag * v
        moment = torch.stack([(y * thrust).sum(-1), -(x * thrust).sum(-1), (torque * spin * thrust).sum(-1)], -1)
        flap = torch.stack([air[:, 3] * body[:, 1], -air[:, 4] * body[:, 0], torch.zeros_like(body[:, 0])], -1)
        moment = moment + disturbance[:, 3:] + flap - angular * w
        xyz, qw = q[:, :3], q[:, 3:]
        spun = torch.cat([qw * w + torch.linalg.cross(xyz, w), -(xyz * w).sum(-1, keepdim=True)], -1)
        accelerated = (moment - torch.linalg.cross(w, inertia * w)) / inertia
        lag = torch.where(goal > r, up, down)
        return torch.cat([v, spun / 2, force / mass + GRAVITY, accelerated, (goal - r) / lag], -1)

    k1 = slope(s)
    k2 = slope(s + dt / 2 * k1)
    k3 = slope(s + dt / 2 * k2)
    k4 = slope(s + dt * k3)
    s = s + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    load = (s[:, 13:17] ** 3).mean(-1, keepdim=True)
    charge = (charge - dt / b.endurance * load).clamp(min=0)
    settled = b.empty + (b.full - b.empty) * charge - b.sag * load
    voltage = voltage + (1 - np.exp(-dt / b.sag_time)) * (settled - voltage)
    s = torch.cat([s[:, :3], torch.nn.functional.normalize(s[:, 3:7], dim=-1), s[:, 7:]], -1)
    return s, torch.cat([charge, voltage], -1)
