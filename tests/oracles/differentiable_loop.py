"""PX4's rate loop and mixer once more, in torch with vectors: the oracle of the derivative written by hand."""

import torch

DIAGONAL = 0.5**0.5
RIGHT = torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64)  # what a roll to the right does to each rotor
BACK = torch.tensor([-1.0, 1.0, 1.0, -1.0], dtype=torch.float64)


def adding_thrust(thrust, roll, pitch):
    """MC_AIRMODE 1: the thrust gives way, the torques only where there is no room for them."""
    swing = roll * RIGHT + pitch * BACK
    swing = swing / (swing.amax(-1, keepdim=True) - swing.amin(-1, keepdim=True)).clamp(min=1)
    low, high = -swing.amin(-1, keepdim=True), 1 - swing.amax(-1, keepdim=True)
    return torch.minimum(torch.maximum(thrust, low), high) + swing


def desaturated(u, vector, reduce_only=False):
    """PX4's desaturateActuators: move all rotors along `vector` so that the worst two exceed 0..1 by the same."""

    def gain(u):
        over, under = (1 - u).clamp(max=0) / vector, (-u).clamp(min=0) / vector
        both = torch.cat([over, under], -1)
        return both.amin(-1, keepdim=True).clamp(max=0) + both.amax(-1, keepdim=True).clamp(min=0)

    first = gain(u)
    moved = u + first * vector
    moved = moved + 0.5 * gain(moved) * vector
    return torch.where(first < 0, u, moved) if reduce_only else moved


def never_adding_thrust(thrust, roll, pitch):
    """MC_AIRMODE 0, as ControlAllocationSequentialDesaturation::mixAirmodeDisabled of PX4 v1.18 does it, without yaw."""
    u = thrust + roll * RIGHT + pitch * BACK
    u = desaturated(u, -torch.ones(4, dtype=torch.float64), reduce_only=True)
    return desaturated(desaturated(u, DIAGONAL * RIGHT), DIAGONAL * BACK)


def rate_step(rates, setpoint, kept, constants, factors, spin, hover=None):
    """One substep: rotor commands [N, 4] and what the loop keeps [N, 9] (integral, gyro, slope of it).

    setpoint [N, 4] in units of the action; constants [20] as `rate_loop.constants`; factors [N, 4] on P, I, D, filters.
    hover [N, 1]: throttle of each; None: that of the constants.
    """
    nominal, limits, p, i, d, i_limit, shares, airmode, floor = constants.split([1, 3, 3, 3, 3, 3, 2, 1, 1])
    hover = nominal if hover is None else hover
    integral, gyro, slope = kept.split(3, -1)
    p, i, d = (factors[:, k : k + 1] * gain for k, gain in enumerate((p, i, d)))
    fast, slow = (factors[:, 3:] * share for share in shares)
    change = fast * (rates - gyro)
    gyro, slope = gyro + change, slope + slow * (change - slope)
    error = limits * setpoint[:, 1:] - gyro
    torque = p * error + integral - d * slope
    integral = torch.minimum(torch.maximum(integral + i * error, -i_limit), i_limit)
    collective = torch.maximum(setpoint[:, :1], floor)
    thrust = hover + collective * torch.where(collective < 0, hover, 1 - hover)
    roll, pitch = (DIAGONAL * torque[:, axis : axis + 1].clamp(-1, 1) for axis in (0, 1))
    u = (adding_thrust if airmode > 0 else never_adding_thrust)(thrust, roll, pitch)
    room = torch.where(spin > 0, 1 - u, u)
    low, high = room.amax(-1, keepdim=True) - 1, room.amin(-1, keepdim=True)
    yaw = torch.minimum(torch.maximum(torque[:, 2:], low), high)
    return (u + spin * yaw).clamp(0, 1), torch.cat([integral, gyro, slope], -1)
