"""PX4's rate loop and mixer once more, in torch with vectors: the oracle of the derivative written by hand."""

import torch

DIAGONAL = 0.5**0.5
RIGHT = torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64)  # what a roll to the right does to each rotor
BACK = torch.tensor([-1.0, 1.0, 1.0, -1.0], dtype=torch.float64)


def rate_step(rates, setpoint, kept, constants, factors, spin):
    """One substep: rotor commands [N, 4] and what the loop keeps [N, 9] (integral, gyro, slope of it).

    setpoint [N, 4] in units of the action; constants [18] as `rate_loop.constants`; factors [N, 4] on P, I, D, filters.
    """
    hover, limits, p, i, d, i_limit, shares = constants.split([1, 3, 3, 3, 3, 3, 2])
    integral, gyro, slope = kept.split(3, -1)
    p, i, d = (factors[:, k : k + 1] * gain for k, gain in enumerate((p, i, d)))
    fast, slow = (factors[:, 3:] * share for share in shares)
    change = fast * (rates - gyro)
    gyro, slope = gyro + change, slope + slow * (change - slope)
    error = limits * setpoint[:, 1:] - gyro
    torque = p * error + integral - d * slope
    integral = torch.minimum(torch.maximum(integral + i * error, -i_limit), i_limit)
    collective = setpoint[:, :1]
    thrust = hover + collective * torch.where(collective < 0, hover, 1 - hover)
    swing = DIAGONAL * (torque[:, :1].clamp(-1, 1) * RIGHT + torque[:, 1:2].clamp(-1, 1) * BACK)
    span = swing.amax(-1, keepdim=True) - swing.amin(-1, keepdim=True)
    swing = swing / span.clamp(min=1)
    low, high = -swing.amin(-1, keepdim=True), 1 - swing.amax(-1, keepdim=True)
    u = torch.minimum(torch.maximum(thrust, low), high) + swing
    room = torch.where(spin > 0, 1 - u, u)
    low, high = room.amax(-1, keepdim=True) - 1, room.amin(-1, keepdim=True)
    yaw = torch.minimum(torch.maximum(torque[:, 2:], low), high)
    return (u + spin * yaw).clamp(0, 1), torch.cat([integral, gyro, slope], -1)
