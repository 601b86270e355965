"""The arithmetic of a leaky integrate-and-fire neuron. All who step neurons call it, so a change here changes them all.

The functions are plain: they take torch tensors, numpy arrays, or the scalars of a compiled kernel, which inlines them.
With membrane U, spike s in {0, 1}, input current I, leak beta and threshold theta of each neuron:

    U_t = remainder(U_{t-1}, s_{t-1}) + I_t - subtracted(s_{t-1}),    s_t = 1[U_t > theta]

    soft reset:  remainder = beta U,            subtracted = theta s
    hard reset:  remainder = beta U (1 - s),    subtracted = 0

Each caller adds the three terms in an order of its own: recorded flights are replayed to the last bit. Constants are
float32, so that a kernel stays in the precision of its arrays. The derivative of a spike is in `surrogate`.
"""

import numpy as np

from spike_ctrl._files.arrays import Numbers

_ZERO, _ONE = np.float32(0), np.float32(1)


def remainder(membrane: Numbers, spike: Numbers, beta: Numbers, hard: bool) -> Numbers:
    """What the leak, and a hard reset by the last spike, leave of the membrane."""
    if hard:
        return beta * membrane * (_ONE - spike)
    return beta * membrane


def subtracted(spike: Numbers, theta: Numbers, hard: bool) -> Numbers:
    """What a soft reset by the last spike takes from the membrane."""
    if hard:
        return _ZERO
    return theta * spike


def fires(membrane: Numbers, theta: Numbers) -> Numbers:
    """Whether a neuron spikes: strictly above its threshold."""
    return membrane > theta


def membrane_vjp(
    gradient: Numbers, membrane: Numbers, spike: Numbers, beta: Numbers, theta: Numbers, hard: bool
) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """The gradient of U_t taken back to U_{t-1}, s_{t-1}, beta and theta, in this order.

    gradient: with respect to U_t. membrane, spike: U_{t-1} and s_{t-1}.
    """
    if hard:
        kept = gradient * (_ONE - spike)
        return beta * kept, -beta * membrane * gradient, membrane * kept, _ZERO * gradient
    return beta * gradient, -theta * gradient, membrane * gradient, -spike * gradient
