"""Forces and torques of the air that depend on the velocity in the body frame, and their derivatives.

With v_b = R^T v: a force -R diag(d) v_b in the world (rotor drag: Faessler, Franchi, Scaramuzza 2018) and a torque
(kx v_by, -ky v_bx, 0) in the body (blade flapping, and drag above the centre of mass). With ky > 0 forward flight pitches
the nose up.

s: the 17 state numbers of `dynamics`; air: dx, dy, dz (N s/m), kx, ky (N s).
"""

import numpy as np

from spike_ctrl._files.arrays import Scalars
from spike_ctrl._files.kernel import inlined

_ONE, _TWO = np.float32(1.0), np.float32(2.0)


@inlined
def _rotation(s: Scalars) -> Scalars:
    """The rotation matrix, body to world, row by row."""
    qx, qy, qz, qw = s[3], s[4], s[5], s[6]
    return (
        _ONE - _TWO * (qy * qy + qz * qz), _TWO * (qx * qy - qw * qz), _TWO * (qx * qz + qw * qy),
        _TWO * (qx * qy + qw * qz), _ONE - _TWO * (qx * qx + qz * qz), _TWO * (qy * qz - qw * qx),
        _TWO * (qx * qz - qw * qy), _TWO * (qy * qz + qw * qx), _ONE - _TWO * (qx * qx + qy * qy),
    )  # fmt: skip


@inlined
def _to_body(r: Scalars, x: Scalars) -> Scalars:
    return (
        r[0] * x[0] + r[3] * x[1] + r[6] * x[2],
        r[1] * x[0] + r[4] * x[1] + r[7] * x[2],
        r[2] * x[0] + r[5] * x[1] + r[8] * x[2],
    )


@inlined
def _to_world(r: Scalars, x: Scalars) -> Scalars:
    return (
        r[0] * x[0] + r[1] * x[1] + r[2] * x[2],
        r[3] * x[0] + r[4] * x[1] + r[5] * x[2],
        r[6] * x[0] + r[7] * x[1] + r[8] * x[2],
    )


@inlined
def in_air(disturbance: Scalars, s: Scalars, air: Scalars) -> Scalars:
    """Force (N, world) and torque (N m, body) of disturbance and air together."""
    r = _rotation(s)
    x, y, z = _to_body(r, (s[7], s[8], s[9]))
    fx, fy, fz = _to_world(r, (air[0] * x, air[1] * y, air[2] * z))
    return (
        disturbance[0] - fx, disturbance[1] - fy, disturbance[2] - fz,
        disturbance[3] + air[3] * y, disturbance[4] - air[4] * x, disturbance[5],
    )  # fmt: skip


@inlined
def air_vjp(s: Scalars, air: Scalars, by_force: Scalars, by_torque: Scalars) -> Scalars:
    """The gradient with respect to quaternion and velocity (7 numbers), from that of force and of torque about x and y."""
    r, v = _rotation(s), (s[7], s[8], s[9])
    x, y, z = _to_body(r, v)
    h = _to_body(r, by_force)
    f = (-air[0] * x, -air[1] * y, -air[2] * z)
    g = (-air[0] * h[0] - air[4] * by_torque[1], -air[1] * h[1] + air[3] * by_torque[0], -air[2] * h[2])
    gv = _to_world(r, g)
    g00, g01, g02 = by_force[0] * f[0] + v[0] * g[0], by_force[0] * f[1] + v[0] * g[1], by_force[0] * f[2] + v[0] * g[2]
    g10, g11, g12 = by_force[1] * f[0] + v[1] * g[0], by_force[1] * f[1] + v[1] * g[1], by_force[1] * f[2] + v[1] * g[2]
    g20, g21, g22 = by_force[2] * f[0] + v[2] * g[0], by_force[2] * f[1] + v[2] * g[1], by_force[2] * f[2] + v[2] * g[2]
    gx, gy, gz, gw = rotation_vjp((s[3], s[4], s[5], s[6]), (g00, g01, g02, g10, g11, g12, g20, g21, g22))
    return gx, gy, gz, gw, gv[0], gv[1], gv[2]


@inlined
def rotation_vjp(q: Scalars, g: Scalars) -> Scalars:
    """The gradient with respect to the quaternion, from that of the rotation matrix (9, row by row)."""
    qx, qy, qz, qw = q
    g00, g01, g02, g10, g11, g12, g20, g21, g22 = g
    xy, xz, yz = g01 + g10, g02 + g20, g12 + g21
    wx, wy, wz = g21 - g12, g02 - g20, g10 - g01
    return (
        _TWO * (qy * xy + qz * xz + qw * wx - _TWO * qx * (g11 + g22)),
        _TWO * (qx * xy + qz * yz + qw * wy - _TWO * qy * (g00 + g22)),
        _TWO * (qx * xz + qy * yz + qw * wz - _TWO * qz * (g00 + g11)),
        _TWO * (qx * wx + qy * wy + qz * wz),
    )
