"""A policy as C99 for a microcontroller: fixed memory, no allocation, nothing needed but `tanhf` of the C library.

policy.h holds the contract as constants, the state and the two functions `policy_reset` and `policy_step`; policy.c the
numbers and the step; self_test.c the self-test as a `main`. A spike adds one row of weights and silence costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl._files import atomic_file
from spike_ctrl.export import ExportError, c_literals, neuron_of
from spike_ctrl.export.integer_policy import BETA_BITS, INPUT_BITS, INPUT_LIMIT, LIMITS, IntegerPolicy, Tables, quantise
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.sim.observation import LAYOUT
from spike_ctrl.snn.neuron import Neuron, Reset

FILES = ("policy.h", "policy.c", "self_test.c")
FIELDS = (
    "POSITION_X, POSITION_Y, POSITION_Z",
    "ROTATION_XX, ROTATION_XY, ROTATION_XZ",
    "ROTATION_YX, ROTATION_YY, ROTATION_YZ",
    "ROTATION_ZX, ROTATION_ZY, ROTATION_ZZ",
    "VELOCITY_X, VELOCITY_Y, VELOCITY_Z",
    "RATE_X, RATE_Y, RATE_Z",
)
OUTPUTS = {
    "motors": "rotor speeds of the motors front-right, back-right, back-left, front-left: u = (action + 1) / 2",
    "rates": "collective thrust, 0 is hover, and body rates about x, y, z as shares of the airframe's limits",
}


class Form(NamedTuple):
    """How numbers are kept: weights "float32" or "int8", and with int8 the bits of a membrane, 16 or 32."""

    weights: str = "float32"
    bits: int = 32

    @property
    def integer(self) -> bool:
        return self.weights == "int8"

    @property
    def state_type(self) -> str:
        return f"int{self.bits}" if self.integer else "float32"

    @property
    def words(self) -> str:
        return f"int8 weights, int{self.bits} membranes" if self.integer else "float32"


class CSource(NamedTuple):
    """The written files by name, the policy whose actions they give, sizes of the network, type of a membrane, bytes of
    the constants, of a state and of the largest array on the stack."""

    files: dict[str, str]
    twin: SpikingPolicy | IntegerPolicy
    sizes: tuple[int, ...]
    state_type: str
    constant_bytes: int
    state_bytes: int
    stack_bytes: int


def source(found: Checkpoint, name: str, form: Form = Form()) -> CSource:
    """The C files of a checkpoint. name: what comments call it. Raises ExportError."""
    contract, observations = found.manifest.contract, found.self_test
    neuron = neuron_of(found, name, "C")
    if contract.observation != LAYOUT:
        raise ExportError(f"{name}: observation: found {contract.observation!r}, wanted {LAYOUT!r}")
    if contract.action not in OUTPUTS:
        raise ExportError(f"{name}: action: found {contract.action!r}, wanted one of {', '.join(OUTPUTS)}")
    if form.integer:
        tables = quantise(found.weights, neuron, form.bits, observations)
        twin = IntegerPolicy(tables, neuron, form.bits)
        arrays, body = _integer_arrays(tables), _integer_step(tables, contract.sizes[0], neuron, form.bits)
    else:
        twin = found.policy
        arrays, body = _float_arrays(found.weights, contract.sizes), _float_step(contract.sizes, neuron)
    head = f"/* {name}: {form.words}. Written by spike-ctrl export; do not edit. */\n"
    numbers = "\n".join(c_literals.array(*item) for item in arrays.items())
    text = f'{head}#include "policy.h"\n\n#include <math.h>\n\n{numbers}{body}'
    neurons = sum(contract.sizes[1:-1])
    files = (head + _header(found, form), text, head + _self_test(observations, twin, found.manifest.tolerance))
    return CSource(
        files=dict(zip(FILES, files, strict=True)),
        twin=twin,
        sizes=contract.sizes,
        state_type=form.state_type,
        constant_bytes=sum(array.nbytes for array in arrays.values()),
        state_bytes=neurons * np.dtype(form.state_type).itemsize,
        stack_bytes=4 * (max(contract.sizes[1:-1]) if form.integer else contract.sizes[-1])
        + (contract.sizes[-2] if neuron.recurrent and not form.integer else 0),
    )


def write(folder: Path, written: CSource) -> None:
    """Write the files into a folder, which is made where it is missing. Raises ExportError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in written.files.items():
            atomic_file.replace(folder / name, lambda path, text=text: atomic_file.write(path, text.encode()))
    except OSError as error:
        raise ExportError(f"{folder}: cannot be written: {error.strerror or os.strerror(error.errno or 0)}") from None


# --- policy.h -------------------------------------------------------------------------------------------------------


def _header(found: Checkpoint, form: Form) -> str:
    contract = found.manifest.contract
    kind = f"{form.state_type}_t" if form.integer else "float"
    constants = {
        "AIRFRAME": c_literals.text(contract.airframe),
        "AIRFRAME_HASH": c_literals.text(contract.airframe_hash),
        "OBSERVATION": c_literals.text(contract.observation),
        "ACTION": c_literals.text(contract.action),
        "CHECKPOINT_SHA256": c_literals.text(found.manifest.sha256),
        "RATE_HZ": f"{contract.rate_hz:g}",
        "INPUTS": contract.sizes[0],
        "NEURONS": sum(contract.sizes[1:-1]),
        "OUTPUTS": contract.sizes[-1],
    }
    defines = "\n".join(f"#define POLICY_{key} {value}" for key, value in constants.items())
    order = ",\n    ".join("POLICY_" + line.replace(", ", ", POLICY_") for line in FIELDS)
    return f"""#ifndef SPIKE_CTRL_POLICY_H
#define SPIKE_CTRL_POLICY_H

#include <stdint.h>

{defines}

/* Observation, in the frame of the set-point (its position and yaw; ENU world, FLU body): position (m), rotation matrix
   body to that frame (row-major), velocity (m/s), body rates (rad/s, not degrees). */
enum {{
    {order}
}};

typedef struct {{
    {kind} membrane[POLICY_NEURONS];
}} policy_state;

/* Call it on every activation, and whenever a step was missed: the membranes are the policy's memory of the flight. */
void policy_reset(policy_state *state);

/* One control step, 1 / POLICY_RATE_HZ after the last. Gives 0 and actions in [-1, 1]:
   {OUTPUTS[contract.action]}.
   Gives 1 where an observation is not finite; then neither state nor action is touched. */
int policy_step(policy_state *state, const float observation[POLICY_INPUTS], float action[POLICY_OUTPUTS]);

#endif
"""


# --- policy.c -------------------------------------------------------------------------------------------------------


def _float_arrays(weights: Mapping[str, np.ndarray], sizes: tuple[int, ...]) -> dict[str, np.ndarray]:
    arrays = {}
    for index in range(len(sizes) - 2):
        arrays[f"weight_{index}"] = weights[f"layer{index}.weight"].T
        for name in ("bias", "beta", "theta"):
            arrays[f"{name}_{index}"] = weights[f"layer{index}.{name}"]
    return arrays | {"output_weight": weights["output.weight"].T, "output_bias": weights["output.bias"]}


def _integer_arrays(tables: Tables) -> dict[str, np.ndarray]:
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


def _float_step(sizes: tuple[int, ...], neuron: Neuron) -> str:
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
        hears_itself = neuron.recurrent and index == last
        text += f"""
    float *u{index} = state->membrane + {start};
"""
        if hears_itself:
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
        if hears_itself:
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


def _integer_step(tables: Tables, inputs: int, neuron: Neuron, bits: int) -> str:
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


# --- self_test.c ----------------------------------------------------------------------------------------------------


def _self_test(observations: np.ndarray, twin: SpikingPolicy | IntegerPolicy, tolerance: float) -> str:
    state, actions = twin.initial_state(), []
    for observation in observations:
        action, state = twin.step(observation, state)
        actions.append(action)
    arrays = {"observation": observations, "wanted": np.float32(actions)}
    return f"""#include "policy.h"

#include <math.h>
#include <stdio.h>

{"".join(c_literals.array(*item) for item in arrays.items())}
int main(void)
{{
    static policy_state state;
    double worst = 0.0;
    int wrong = 0;
    policy_reset(&state);
    for (int step = 0; step < {len(observations)}; step++) {{
        float action[POLICY_OUTPUTS];
        if (policy_step(&state, observation[step], action) != 0) {{
            printf("self-test: step %d: refused\\n", step);
            return 1;
        }}
        for (int i = 0; i < POLICY_OUTPUTS; i++) {{
            const double difference = fabs((double)action[i] - (double)wanted[step][i]);
            worst = difference > worst ? difference : worst;
            wrong += !(difference <= {tolerance!r});
        }}
    }}
    printf("self-test: {len(observations)} steps, largest difference %.2g, wanted at most {tolerance:.2g}\\n", worst);
    return wrong == 0 ? 0 : 1;
}}
"""
