"""A step of spiking neurons, forwards and backwards, one thread for each neuron of each vehicle; see `snn.membrane`.

The products with weights are torch's, in the same memory.
"""

import warp as wp

Rows = wp.array2d(dtype=float)
Each = wp.array(dtype=float)


@wp.kernel(enable_backward=False)
def fire(inflow: Rows, u0: Rows, s0: Rows, beta: Each, theta: Each, hard: int, u: Rows, s: Rows) -> None:
    """From membranes u0 and spikes s0 of the step before to those of this one; inflow: weighted inputs and bias."""
    b, h = wp.tid()
    kept = beta[h] * u0[b, h]
    if hard == 1:
        kept = kept * (1.0 - s0[b, h])
    else:
        kept = kept - theta[h] * s0[b, h]
    x = kept + inflow[b, h]
    u[b, h] = x
    s[b, h] = wp.where(x > theta[h], 1.0, 0.0)


@wp.kernel(enable_backward=False)
def unfire(
    incoming: Rows, u0: Rows, s0: Rows, u: Rows, s: Rows, beta: Each, theta: Each, hard: int, slope: Each, by_membrane: Rows,
    by_beta: Rows, by_theta: Rows,
) -> None:  # fmt: skip
    """From `incoming`, the gradient of s, and that of the membranes of the next step to that of u, in `by_membrane`.

    slope [1]: k of the surrogate derivative. Adds to by_beta and by_theta [vehicle, neuron].
    """
    b, h = wp.tid()
    later = by_membrane[b, h]
    to_membrane = beta[h] * later
    to_spike = -theta[h] * later
    if hard == 1:
        to_membrane = to_membrane * (1.0 - s[b, h])
        to_spike = -beta[h] * u[b, h] * later
    slack = slope[0] * wp.abs(u[b, h] - theta[h]) + 1.0
    through = (incoming[b, h] + to_spike) / (slack * slack)
    x = through + to_membrane
    by_membrane[b, h] = x
    if hard == 1:
        by_beta[b, h] = by_beta[b, h] + u0[b, h] * x * (1.0 - s0[b, h])
        by_theta[b, h] = by_theta[b, h] - through
    else:
        by_beta[b, h] = by_beta[b, h] + u0[b, h] * x
        by_theta[b, h] = by_theta[b, h] - s0[b, h] * x - through
