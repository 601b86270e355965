"""All files of a policy's FPGA core: Verilog, memories, constraints, testbench with its self-test, README."""

import numpy as np

from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl_silicon import verilog
from spike_ctrl_silicon.bounds import bounds, signed_bits
from spike_ctrl_silicon.integer_network import IntegerNetwork, IntegerRuntime, inputs_of


def files(found: Checkpoint, network: IntegerNetwork, lanes: int, name: str) -> dict[str, str]:
    """The files by name. name: of the checkpoint. Raises UsageError for lanes that the core does not have."""
    title = f"{name}, sha256 {found.manifest.sha256[:16]}: {network.widths.words}"
    runtime = IntegerRuntime(network)
    state, wanted = runtime.initial_state(), []
    for observation in found.self_test:
        state = runtime.advance(observation, state)
        wanted.append(runtime.action(state))
    core = verilog.files(network, lanes, title)
    return core | {
        "testbench.sv": core["testbench.sv"].replace("STEPS = 128", f"STEPS = {len(found.self_test)}"),
        "inputs.hex": _hex(inputs_of(found.self_test), 20),
        "wanted.hex": _hex(np.array(wanted), 16),
        "README.md": _readme(network, lanes, title),
    }


def _hex(values: np.ndarray, bits: int) -> str:
    return "".join(f"{int(value) & ((1 << bits) - 1):0{-(-bits // 4)}x}\n" for value in values.ravel())


def _readme(network: IntegerNetwork, lanes: int, title: str) -> str:
    found = bounds(network)
    layers = "\n".join(
        f"| {index} | {width} | {layer.fraction} | {total} ({signed_bits(total)}) | {ahead} ({signed_bits(ahead)}) |"
        for index, (width, layer, total, ahead) in enumerate(
            zip(network.sizes[1:-1], network.tables.layers, found.sum, found.next, strict=False)
        )
    )
    return f"""# {title}

{"-".join(map(str, network.sizes))}, {network.neuron.words}, {lanes} lanes. Written by `spike-ctrl export --to fpga`.
**It was simulated and placed. It has not run on a board.**

```sh
verilator --lint-only -Wall --top-module spike_serial spike_serial.sv uart_*.sv spike_link.sv policy.sv spike_core.sv
verilator --lint-only -Wall --top-module spike_spi spike_spi.sv spi_device.sv spike_link.sv policy.sv spike_core.sv
verilator --binary --top-module testbench testbench.sv policy.sv spike_core.sv && obj_dir/Vtestbench
yosys -p 'read_verilog -sv ulx3s.sv spike_serial.sv uart_receiver.sv uart_transmitter.sv spike_link.sv' \\
      -p 'read_verilog -sv policy.sv spike_core.sv; synth_ecp5 -top ulx3s -json ulx3s.json'
nextpnr-ecp5 --25k --package CABGA381 --json ulx3s.json --lpf ulx3s.lpf --textcfg ulx3s.config
ecppack ulx3s.config ulx3s.bit && openFPGALoader -b ulx3s ulx3s.bit
```

| file | holds |
|---|---|
| `spike_core.sv` | one step of the network; `LANES` neurons at once, one cycle per event and group |
| `policy.sv` | the core with the sizes of this network |
| `spike_link.sv` | the frames of `docs/uart_policy.c`: CRC, sequence, warm-up, watchdog |
| `spike_serial.sv`, `uart_*.sv` | `spike_link` behind a UART |
| `spike_spi.sv`, `spi_device.sv` | `spike_link` behind SPI, mode 0; no board's top uses it yet |
| `ulx3s.sv`, `ulx3s.lpf` | top and pins of a ULX3S board |
| `testbench.sv`, `inputs.hex`, `wanted.hex` | the checkpoint's self-test |
| `weights.hex`, `neurons.hex`, `readout.hex`, `tanh.hex` | the numbers, one word a line |

| layer | neurons | fraction bits | largest sum (bits) | largest membrane before it saturates (bits) |
|---|---|---|---|---|
{layers}

The largest sum of the readout is {found.sum[-1]}, scaled {found.readout}. The bounds follow from the weights for any
input and any spikes, and the registers are as wide, so nothing overflows. Inputs saturate at +-64, membranes at their limit.
"""
