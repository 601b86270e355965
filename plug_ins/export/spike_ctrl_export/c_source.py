"""Exports a policy as C99 for a microcontroller: no allocation, fixed memory, and only `tanhf` from the C library.

policy.h declares the contract as constants, the state, and the functions `policy_reset` and `policy_step`. policy.c holds
the numbers and the functions. self_test.c is the self-test as a program. A spike adds one row of weights; a silent neuron
costs nothing. Another prefix than "policy" names all of these anew, so that policies of several prefixes fit into one
program.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import self_test, voltage_input
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.sim.observation import LAYOUT
from spike_ctrl_export import c_literals, c_step, neuron_of, write_files
from spike_ctrl_export.integer_policy import IntegerPolicy, Tables, quantise

PREFIX = "policy"
_NAMES = re.compile(r"\bpolicy(?=_(reset|step|state|run)\b|\.h\b)|\bPOLICY(?=_[A-Z])")
FIELDS = (
    "POSITION_X, POSITION_Y, POSITION_Z",
    "ROTATION_XX, ROTATION_XY, ROTATION_XZ",
    "ROTATION_YX, ROTATION_YY, ROTATION_YZ",
    "ROTATION_ZX, ROTATION_ZY, ROTATION_ZZ",
    "VELOCITY_X, VELOCITY_Y, VELOCITY_Z",
    "RATE_X, RATE_Y, RATE_Z",
)
VOLTAGE_WORDS = """, and of the battery's
   voltage V (volts) as it is measured: (V - VOLTAGE_MIDDLE) / VOLTAGE_SPAN"""
OUTPUTS = {
    "motors": "rotor speeds of the motors front-right, back-right, back-left, front-left: u = (action + 1) / 2",
    "rates": "collective thrust, 0 is hover, and body rates about x, y, z as shares of the airframe's limits",
}


class Form(NamedTuple):
    """The number format: weights "float32" or "int8", and with int8 the bits of a membrane, 16 or 32."""

    weights: str = "float32"
    bits: int = 32

    @property
    def integer(self) -> bool:
        """Whether the policy computes in integers."""
        return self.weights == "int8"

    @property
    def state_type(self) -> str:
        """Name of the numpy type of a membrane."""
        return f"int{self.bits}" if self.integer else "float32"

    @property
    def words(self) -> str:
        """The format for the user."""
        return f"int8 weights, int{self.bits} membranes" if self.integer else "float32"


class CSource(NamedTuple):
    """Exported C.

    prefix: of all global names. files: contents by name. twin: the Python policy that gives the same actions. sizes: inputs,
    widths of the hidden layers, outputs. state_type: numpy type of a membrane. Bytes: of the constants, of a state, of the
    largest array on the stack.
    """

    prefix: str
    files: dict[str, str]
    twin: SpikingPolicy | IntegerPolicy
    sizes: tuple[int, ...]
    state_type: str
    constant_bytes: int
    state_bytes: int
    stack_bytes: int


def files(prefix: str) -> tuple[str, str, str]:
    """Names of the header, of the code and of the self-test."""
    return f"{prefix}.h", f"{prefix}.c", "self_test.c" if prefix == PREFIX else f"{prefix}_self_test.c"


def renamed(code: str, prefix: str) -> str:
    """C code with the global names and the header of a prefix in place of those of PREFIX."""
    return _NAMES.sub(lambda found: prefix if found[0] == PREFIX else prefix.upper(), code)


def source(found: Checkpoint, name: str, form: Form = Form(), prefix: str = PREFIX, tables: Tables | None = None) -> CSource:
    """The C files of a checkpoint. name: of the checkpoint, for comments and errors. prefix: of all global names.

    tables: numbers of an integer form that were rounded elsewhere.

    Raises UsageError.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", prefix):
        raise UsageError(f"prefix: found {prefix!r}, wanted a name in C of lower-case letters, digits and _")
    contract, observations = found.manifest.contract, found.self_test
    neuron = neuron_of(found, name, "C")
    if contract.observation not in (LAYOUT, voltage_input.LAYOUT):
        wanted = f"{LAYOUT!r} or {voltage_input.LAYOUT!r}"
        raise UsageError(f"{name}: observation: found {contract.observation!r}, wanted {wanted}")
    if contract.action not in OUTPUTS:
        raise UsageError(f"{name}: action: found {contract.action!r}, wanted one of {', '.join(OUTPUTS)}")
    if form.integer:
        tables = tables or quantise(found.weights, neuron, form.bits, observations)
        twin = IntegerPolicy(tables, neuron, form.bits)
        arrays = c_step.integer_arrays(tables)
        body = c_step.integer_step(tables, contract.sizes[0], neuron, form.bits)
    else:
        twin = found.policy
        arrays = c_step.float_arrays(found.weights, contract.sizes)
        body = c_step.float_step(contract.sizes, neuron)
    head = f"/* {name}: {form.words}. Written by spike-ctrl export; do not edit. */\n"
    numbers = "\n".join(c_literals.array(*item) for item in arrays.items())
    code = f'#include "policy.h"\n\n#include <math.h>\n\n{numbers}{body}'
    check = _self_test(observations, twin, found.manifest.tolerance)
    neurons = sum(contract.sizes[1:-1])
    texts = (_header(found, form, prefix), renamed(code, prefix), renamed(check, prefix))
    return CSource(
        prefix=prefix,
        files={file: head + text for file, text in zip(files(prefix), texts, strict=True)},
        twin=twin,
        sizes=contract.sizes,
        state_type=form.state_type,
        constant_bytes=sum(array.nbytes for array in arrays.values()),
        state_bytes=neurons * np.dtype(form.state_type).itemsize,
        stack_bytes=4 * (max(contract.sizes[1:-1]) if form.integer else contract.sizes[-1])
        + (contract.sizes[-2] if neuron.recurrent and not form.integer else 0),
    )


def write(folder: Path, written: CSource) -> None:
    """Write the files into a folder, which is created if it is missing. Raises UsageError."""
    write_files(folder, written.files)


# --- policy.h -------------------------------------------------------------------------------------------------------


def _header(found: Checkpoint, form: Form, prefix: str) -> str:
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
    fields, voltage = FIELDS, ""
    if (seen := contract.voltage) is not None:
        constants |= {"VOLTAGE_MIDDLE": f"{seen.middle!r}f", "VOLTAGE_SPAN": f"{seen.span!r}f"}
        fields, voltage = (*FIELDS, "VOLTAGE"), VOLTAGE_WORDS
    upper = prefix.upper()
    defines = "\n".join(f"#define {upper}_{key} {value}" for key, value in constants.items())
    order = ",\n    ".join(f"{upper}_" + line.replace(", ", f", {upper}_") for line in fields)
    return f"""#ifndef SPIKE_CTRL_{upper}_H
#define SPIKE_CTRL_{upper}_H

#include <stdint.h>

{defines}

/* Observation, in the frame of the set-point (its position and yaw; ENU world, FLU body): position (m), rotation matrix
   body to that frame (row-major), velocity (m/s), body rates (rad/s, not degrees){voltage}. */
enum {{
    {order}
}};

typedef struct {{
    {kind} membrane[{upper}_NEURONS];
}} {prefix}_state;

/* Call it on every activation, and whenever a step was missed: the membranes are the policy's memory of the flight. */
void {prefix}_reset({prefix}_state *state);

/* One control step, 1 / {upper}_RATE_HZ after the last. Gives 0 and actions in [-1, 1]:
   {OUTPUTS[contract.action]}.
   Gives 1 where an observation is not finite; then neither state nor action is touched. */
int {prefix}_step({prefix}_state *state, const float observation[{upper}_INPUTS], float action[{upper}_OUTPUTS]);

#endif
"""


# --- self_test.c ----------------------------------------------------------------------------------------------------


def _self_test(observations: np.ndarray, twin: SpikingPolicy | IntegerPolicy, tolerance: float) -> str:
    arrays = {"observation": observations, "wanted": np.float32(self_test.answers(twin, observations))}
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
