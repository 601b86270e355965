"""The equations of motion once more, in torch with vectors and matrices: the oracle of the derivatives written by hand."""

import torch

DT = 0.01
GRAVITY = torch.tensor([0.0, 0.0, -9.81], dtype=torch.float64)


def rotation(q):
    """Rotation matrices [N, 3, 3] from x, y, z, w."""
    x, y, z, w = q.unbind(-1)
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]  # fmt: skip
    return torch.stack(rows, -1).reshape(-1, 3, 3)


def rate_of_change(s, u, plant, disturbance, arms):
    """The equations of motion once more, written with vectors and matrices."""
    q, v, w, r = s[:, 3:7], s[:, 7:10], s[:, 10:13], s[:, 13:17]
    mass, inertia, curve, torque, up, down, drag, angular = plant.split([1, 3, 3, 1, 1, 1, 1, 1], -1)
    thrust = curve[:, :1] + curve[:, 1:2] * r + curve[:, 2:] * r * r
    x, y, spin = arms
    lift = torch.nn.functional.pad(thrust.sum(-1, keepdim=True), (2, 0))
    force = (rotation(q) @ lift[..., None])[..., 0] + disturbance[:, :3] - drag * v
    moment = torch.stack([(y * thrust).sum(-1), -(x * thrust).sum(-1), (torque * spin * thrust).sum(-1)], -1)
    moment = moment + disturbance[:, 3:] - angular * w
    turn = torch.nn.functional.pad(w, (0, 1))
    xyz, qw = q[:, :3], q[:, 3:]
    spun = torch.cat([qw * turn[:, :3] + torch.linalg.cross(xyz, w), -(xyz * w).sum(-1, keepdim=True)], -1)
    accelerated = (moment - torch.linalg.cross(w, inertia * w)) / inertia
    lag = torch.where(u > r, up, down)
    return torch.cat([v, spun / 2, force / mass + GRAVITY, accelerated, (u - r) / lag], -1)


def step(s, u, *rest, dt=DT):
    k1 = rate_of_change(s, u, *rest)
    k2 = rate_of_change(s + dt / 2 * k1, u, *rest)
    k3 = rate_of_change(s + dt / 2 * k2, u, *rest)
    k4 = rate_of_change(s + dt * k3, u, *rest)
    s = s + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return torch.cat([s[:, :3], torch.nn.functional.normalize(s[:, 3:7], dim=-1), s[:, 7:]], -1)
