"""The step of a policy as C, in float32 and in integers: its constant arrays and its functions."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from spike_ctrl.snn.neuron import Neuron, Reset
from spike_ctrl_export.integer_policy import BETA_BITS, INPUT_BITS, INPUT_LIMIT, LIMITS, Tables


def float_arrays(weights: Mapping[str, np.ndarray], sizes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The constant arrays of a policy in float32, by their names in C. Weights are [in, out]."""
    arrays = {}
    for index in range(len(sizes) - 2):
        arrays[f"weight_{index}"] = weights[f"layer{index}.weight"].T
        for name in ("bias", "beta", "theta"):
            arrays[f"{name}_{index}"] = weights[f"layer{index}.{name}"]
    return arrays | {"output_weight": weights["output.weight"].T, "output_bias": weights["output.bias"]}


def integer_arrays(tables: Tables) -> dict[str, np.ndarray]:
    """The constant arrays of an integer policy, by their names in C. Weights are [in, out]."""
    arrays = {}
    for index, layer in enumerate(tables.layers):
        for name in ("weight", "bias", "beta", "theta"):
            arrays[f"{name}_{index}"] = getattr(layer, name)
    return arrays | {
        "output_weight": tables.output_weight,
        "output_scale": tables.output_scale,
        "output_bias": tables.output_bias,
    }


_RESET = """
void policy_reset(policy_state *state)
{
    for (int n = 0; n < POLICY_NEURONS; n++)
        state->membrane[n] = 0;
}
"""

_CHECK = """
int policy_step(policy_state *state, const float observation[POLICY_INPUTS], float action[POLICY_OUTPUTS])
{
    for (int i = 0; i < POLICY_INPUTS; i++)
        if (!isfinite(observation[i]))
            return 1;
"""

_FLOAT = {
    Reset.SOFT: "beta[n] * u[n] - (u[n] > theta[n] ? theta[n] : 0.0f) + bias[n]",
    Reset.HARD: "(u[n] > theta[n] ? 0.0f : beta[n] * u[n]) + bias[n]",
}


def float_step(sizes: tuple[int, ...], neuron: Neuron) -> str:
    """`policy_reset` and `policy_step` in float32. sizes: inputs, widths of the hidden layers, outputs."""
    text = f"""
/* What a step does to membranes before its input arrives: leak, reset of those that spiked, bias. */
static void leak(float *u, const float *beta, const float *theta, const float *bias, int count)
{{
    for (int n = 0; n < count; n++)
        u[n] = {_FLOAT[neuron.reset]};
}}

static void add(float *u, const float *weight, int count)
{{
    for (int n = 0; n < count; n++)
        u[n] += weight[n];
}}

static void add_scaled(float *u, const float *weight, float by, int count)
{{
    for (int n = 0; n < count; n++)
        u[n] += by * weight[n];
}}
{_RESET}{_CHECK}"""
    start, last = 0, len(sizes) - 3
    for index, (inputs, width) in enumerate(pairwise(sizes[:-1])):
        recurrent = neuron.recurrent and index == last
        text += f"""
    float *u{index} = state->membrane + {start};
"""
        if recurrent:
            text += f"""    unsigned char spiked[{width}];
    for (int n = 0; n < {width}; n++)
        spiked[n] = u{index}[n] > theta_{index}[n];
"""
        text += f"""    leak(u{index}, beta_{index}, theta_{index}, bias_{index}, {width});
    for (int i = 0; i < {inputs}; i++)
"""
        if index == 0:
            text += f"        add_scaled(u0, weight_0[i], observation[i], {width});\n"
        else:
            text += f"        if (u{index - 1}[i] > theta_{index - 1}[i])\n"
            text += f"            add(u{index}, weight_{index}[i], {width});\n"
        if recurrent:
            text += f"""    for (int n = 0; n < {width}; n++)
        if (spiked[n])
            add(u{index}, weight_{index}[{inputs} + n], {width});
"""
        start += width
    return (
        text
        + f"""
    float total[POLICY_OUTPUTS];
    for (int i = 0; i < POLICY_OUTPUTS; i++)
        total[i] = output_bias[i];
    for (int n = 0; n < {sizes[-2]}; n++)
        if (u{last}[n] > theta_{last}[n])
            add(total, output_weight[n], POLICY_OUTPUTS);
    for (int i = 0; i < POLICY_OUTPUTS; i++)
        action[i] = tanhf(total[i]);
    return 0;
}}
"""
    )


_INTEGER = {
    Reset.SOFT: "scaled(u[n], beta[n]) - (u[n] > theta[n] ? theta[n] : 0)",
    Reset.HARD: "(u[n] > theta[n] ? 0 : scaled(u[n], beta[n]))",
}


def integer_step(tables: Tables, inputs: int, neuron: Neuron, bits: int) -> str:
    """`policy_reset` and `policy_step` in integers, with membranes of 16 or 32 bits."""
    widths = [len(layer.theta) for layer in tables.layers]
    product, limit = {16: "int32_t", 32: "int64_t"}[bits], LIMITS[bits]
    text = f"""
#if (-3 >> 1) != -2
#error "a right shift of a negative number must keep its sign"
#endif

/* An observation in 2^-{INPUT_BITS}. */
static int32_t fixed(float value)
{{
    const float bounded = value > {INPUT_LIMIT}f ? {INPUT_LIMIT}f : value < -{INPUT_LIMIT}f ? -{INPUT_LIMIT}f : value;
    return (int32_t)(bounded * {2.0**INPUT_BITS}f + (bounded < 0.0f ? -0.5f : 0.5f));
}}

static int32_t scaled(int32_t u, uint16_t beta)
{{
    return (int32_t)((({product})u * beta + {1 << BETA_BITS >> 1}) >> {BETA_BITS});
}}

static void add(int32_t *sum, const int8_t *weight, int32_t by, int count)
{{
    for (int n = 0; n < count; n++)
        sum[n] += by * weight[n];
}}

/* The new membranes of a layer: leak, reset of those that spiked, bias and the sum of the input, saturated. */
static void integrate(int{bits}_t *u, const int32_t *sum, const uint16_t *beta, const int32_t *theta, const int32_t *bias,
                      int count)
{{
    for (int n = 0; n < count; n++) {{
        const int32_t next = {_INTEGER[neuron.reset]} + bias[n] + sum[n];
        u[n] = (int{bits}_t)(next > {limit} ? {limit} : next < -{limit} ? -{limit} : next);
    }}
}}
{_RESET}{_CHECK}
    int32_t sum[{max(widths)}];
"""
    start, last = 0, len(widths) - 1
    for index, (layer, width) in enumerate(zip(tables.layers, widths, strict=True)):
        text += f"""
    int{bits}_t *u{index} = state->membrane + {start};
    for (int n = 0; n < {width}; n++)
        sum[n] = 0;
    for (int i = 0; i < {inputs}; i++)
"""
        if index == 0:
            text += f"        add(sum, weight_0[i], fixed(observation[i]), {width});\n"
        else:
            text += f"        if (u{index - 1}[i] > theta_{index - 1}[i])\n"
            text += f"            add(sum, weight_{index}[i], {1 << layer.fraction}, {width});\n"
        if neuron.recurrent and index == last:  # its membranes are still those of the last step
            text += f"    for (int n = 0; n < {width}; n++)\n"
            text += f"        if (u{index}[n] > theta_{index}[n])\n"
            one = 1 << (layer.fraction if index else INPUT_BITS)
            text += f"            add(sum, weight_{index}[{inputs} + n], {one}, {width});\n"
        if index == 0 and (shift := INPUT_BITS - layer.fraction):
            text += f"    for (int n = 0; n < {width}; n++)\n        sum[n] = (sum[n] + {1 << shift >> 1}) >> {shift};\n"
        text += f"    integrate(u{index}, sum, beta_{index}, theta_{index}, bias_{index}, {width});\n"
        start, inputs = start + width, width
    return (
        text
        + f"""
    int32_t total[POLICY_OUTPUTS];
    for (int i = 0; i < POLICY_OUTPUTS; i++)
        total[i] = 0;
    for (int n = 0; n < {widths[-1]}; n++)
        if (u{last}[n] > theta_{last}[n])
            add(total, output_weight[n], 1, POLICY_OUTPUTS);
    for (int i = 0; i < POLICY_OUTPUTS; i++)
        action[i] = tanhf(output_scale[i] * (float)total[i] + output_bias[i]);
    return 0;
}}
"""
    )
