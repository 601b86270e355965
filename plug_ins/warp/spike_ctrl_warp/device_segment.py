"""A segment of flight of spiking policy and vehicles on a device, and the gradient of its cost: `bptt_kernel` with Warp.

Kernels and products of one step follow each other; all vehicles take a step at once. Arrays have the vehicles last, those of
the network first. Warp's launches are recorded once and repeated for each segment.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import warp as wp

from spike_ctrl._files.arrays import Floats, Sums
from spike_ctrl.airframe import Airframe
from spike_ctrl.learn.bptt_kernel import SegmentConditions
from spike_ctrl.learn.objective import Objective
from spike_ctrl.sim.block_step import SUBSTEPS_OF, Motion
from spike_ctrl.sim.dynamics import ROWS
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl.sim.sensor_noise import MAX_AGE
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl.snn.neuron import Reset
from spike_ctrl_warp import flight_kernels as flight
from spike_ctrl_warp import neurons
from spike_ctrl_warp import vehicle_equations as vehicle


class DeviceSegment:
    """Room for segments of `steps` steps of `vehicles` vehicles on a device, such as "cpu" or "cuda:0".

    rest: u of hover. late: samples may be late or turned, see `Sight`. volts: (middle, 1 / span) of observations that end
    with the voltage.
    """

    def __init__(
        self, airframe: Airframe, motion: Motion, rest: float, network: SpikingNetwork, vehicles: int, steps: int, *,
        late: bool, volts: tuple[float, float] | None, device: str,
    ) -> None:  # fmt: skip
        self.vehicles, self.steps, self.device = vehicles, steps, device
        self._parts, self._layout = SUBSTEPS_OF[motion.layout], motion.layout
        self._craft, self._none = vehicle.craft(airframe, motion), vehicle.Craft()
        self._tick, self._rest, self._volts, self._is_late = float(motion.tick), float(rest), volts, late
        self._hard = int(network.neuron.reset is Reset.HARD)
        self._hidden = network.sizes[1:-1]
        inputs, n = network.sizes[0], vehicles
        zeros = self._zeros
        self.state = zeros(steps * self._parts + 1, vehicle.SIZE, n)
        self.plant, self.late = zeros(ROWS, n), zeros(n)
        self.u, self.gain = zeros(steps + MAX_DELAY, 4, n), zeros(steps, 4, n)
        self.noise, self.unseen, self.course = zeros(steps, 4, n), zeros(steps, inputs, n), zeros(steps, 3, n)
        sighted = steps if late else 0
        self.turn, self.age = zeros(sighted, 3, n), zeros(sighted, n)
        self.recent, self.by_recent = (zeros(MAX_AGE + sighted, OBSERVATION_SIZE, n) for _ in range(2))
        self.seen, self.by_seen = zeros(steps, n, inputs), zeros(n, inputs)
        self.membrane, self.spike = ([zeros(steps + 1, n, width) for width in self._hidden] for _ in range(2))
        self.by_membrane, self.by_spike, self.by_beta, self.by_theta, self.by_bias = (
            [zeros(n, width) for width in self._hidden] for _ in range(5)
        )
        self._own = zeros(n, self._hidden[-1])  # what the next step of the last layer takes back to its spikes
        self.output, self.by_output, self.sums = zeros(n, 4), zeros(n, 4), zeros(n, 5)
        self.by_state, self.by_u = zeros(2, vehicle.SIZE, n), zeros(steps + MAX_DELAY, 4, n)
        self.weights, self.slope, self._ones = zeros(len(Objective._fields)), zeros(1), zeros(n) + 1
        shapes = [tuple(parameter.shape) for parameter in network.parameters()]
        self.parameters, self.gradients = ([zeros(*shape) for shape in shapes] for _ in range(2))
        self._forward = [self._step(t) for t in range(steps)]
        self._backward = [self._step_vjp(t) for t in range(steps)]

    # --- flying ---

    def put(self, rows: Floats, membrane: Floats, spike: Floats, u: Floats, conditions: SegmentConditions) -> None:
        """What a segment begins with: rows [ROWS, N] of `dynamics`, membrane and spike [neurons, N], u [MAX_DELAY, 4, N]."""
        given: list[tuple[torch.Tensor, Any]] = [
            (self.plant, rows), (self.state[0], rows[vehicle.MOVING]), (self.u[:MAX_DELAY], u),
            (self.late, conditions.delay), (self.noise, conditions.noise), (self.unseen, conditions.sensor_noise),
            (self.course, conditions.course),
        ]  # fmt: skip
        first = 0
        for width, u0, s0 in zip(self._hidden, self.membrane, self.spike, strict=True):
            given += [(u0[0], membrane[first : first + width].T), (s0[0], spike[first : first + width].T)]
            first += width
        if len(conditions.sight.age):
            sight = conditions.sight
            given += [(self.turn, sight.turn), (self.age, sight.age), (self.recent[:MAX_AGE], sight.recent[:MAX_AGE])]
        for tensor, array in given:
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(array, np.float32)))

    @torch.no_grad()
    def fly(self, parameters: Sequence[torch.Tensor]) -> Sums:
        """Fly with the network of these parameters; returns the four squared errors and (change of u)^2, each summed."""
        for mine, given in zip(self.parameters, parameters, strict=True):
            mine.copy_(given)
        *hidden, readout, bias = self.parameters
        layers = [hidden[at : at + 4] for at in range(0, len(hidden), 4)]
        self.sums.zero_()
        with self._stream():
            for t, (sight, fires, rest) in enumerate(self._forward):
                _run(sight)
                heard = self.seen[t]
                for layer, (weight, offset, _, _) in enumerate(layers):
                    inflow, width = self.by_spike[layer], heard.shape[1]
                    torch.addmm(offset, heard, weight[:, :width].t(), out=inflow)
                    if weight.shape[1] > width:
                        inflow.addmm_(self.spike[layer][t], weight[:, width:].t())
                    fires[layer].launch()
                    heard = self.spike[layer][t + 1]
                torch.addmm(bias, heard, readout.t(), out=self.output)
                _run(rest)
        errors: Sums = self.sums.sum(0, dtype=torch.float64).cpu().numpy()
        return errors

    @torch.no_grad()
    def vjp(self, objective: Objective, slope: float) -> list[torch.Tensor]:
        """The gradient of the cost of the segment that was flown, in the order of the network's parameters."""
        self.weights.copy_(torch.tensor([float(weight) for weight in objective]))
        self.slope.fill_(slope)
        kept = (self.by_state, self.by_u, self.by_recent, self._own, *self.gradients)
        for tensor in (*kept, *self.by_membrane, *self.by_beta, *self.by_theta, *self.by_bias):
            tensor.zero_()
        *hidden, readout, _ = self.parameters
        weights = hidden[::4]
        *_, by_readout, by_bias = self.gradients
        with self._stream():
            for t in range(self.steps - 1, -1, -1):
                score, moves, unfires, see = self._backward[t]
                score.launch()
                for before, move in moves:
                    before.zero_()
                    move.launch()
                unfires[-1].launch()  # of the command
                by_readout.addmm_(self.by_output.t(), self.spike[-1][t + 1])
                by_bias += self.by_output.sum(0)
                torch.addmm(self._own, self.by_output, readout, out=self.by_spike[-1])
                for layer in range(len(weights) - 1, -1, -1):
                    unfires[layer].launch()
                    self._layer_back(layer, t, weights[layer])
                _run(see)
        for layer in range(len(weights)):
            sums = (self.by_bias[layer], self.by_beta[layer], self.by_theta[layer])
            for gradient, total in zip(self.gradients[4 * layer + 1 : 4 * layer + 4], sums, strict=True):
                torch.sum(total, 0, out=gradient)
        return [gradient.cpu() for gradient in self.gradients]

    def _layer_back(self, layer: int, t: int, weight: torch.Tensor) -> None:
        """The products of a layer's step backwards."""
        by_current, gradient = self.by_membrane[layer], self.gradients[4 * layer]
        heard = self.spike[layer - 1][t + 1] if layer else self.seen[t]
        by_heard, width = (self.by_spike[layer - 1] if layer else self.by_seen), heard.shape[1]
        self.by_bias[layer] += by_current
        gradient[:, :width].addmm_(by_current.t(), heard)
        torch.mm(by_current, weight[:, :width], out=by_heard)
        if weight.shape[1] > width:
            gradient[:, width:].addmm_(by_current.t(), self.spike[layer][t])
            torch.mm(by_current, weight[:, width:], out=self._own)

    def end(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """After the segment: what moves [SIZE, N], membrane and spike [neurons, N], the last u, recent observations."""
        membrane, spike = (torch.cat([part[-1].t() for part in parts]) for parts in (self.membrane, self.spike))
        left = self.state[-1], membrane, spike, self.u[-MAX_DELAY:], self.recent
        state, u0, s0, u, recent = (tensor.cpu().numpy().copy() for tensor in left)
        return state, u0, s0, u, recent

    # --- launches ---

    def _zeros(self, *shape: int) -> torch.Tensor:
        return torch.zeros(shape, device=self.device)

    def _stream(self) -> AbstractContextManager[Any]:
        """Within, Warp launches where torch does."""
        if not self.device.startswith("cuda"):
            return nullcontext()
        stream: AbstractContextManager[Any] = wp.ScopedStream(wp.stream_from_torch(torch.cuda.current_stream(self.device)))
        return stream

    def _record(self, kernel: Any, dim: int | tuple[int, int], *given: Any, back: Sequence[Any] | None = None) -> Any:
        """A launch to repeat. back: the gradients, by which the backward kernel is meant."""
        inputs, gradients = ([_array(value) for value in values] for values in (given, back or ()))
        adjoint = {"adj_inputs": gradients, "adjoint": True} if back is not None else {}
        return wp.launch(kernel, dim, inputs=inputs, device=self.device, record_cmd=True, **adjoint)

    def _step(self, t: int) -> tuple[list[Any], list[Any], list[Any]]:
        """The launches of step t: what is seen; of each layer; from the network's output on."""
        n, part = self.vehicles, t * self._parts
        state = self.state[part]
        if self._is_late:
            sight = [
                self._record(flight.show, n, state, self.recent[MAX_AGE + t]),
                self._record(flight.see_late, n, self.recent, t, self.unseen[t], self.turn[t], self.age[t], self.seen[t]),
            ]
        else:
            sight = [self._record(flight.see, n, state, self.unseen[t], self.seen[t])]
        if self._volts is not None:
            sight.append(self._record(flight.see_voltage, n, state, self.unseen[t], *self._volts, self.seen[t]))
        fires = [
            self._record(
                neurons.fire, (n, width), self.by_spike[layer], self.membrane[layer][t], self.spike[layer][t],
                self.parameters[4 * layer + 2], self.parameters[4 * layer + 3], self._hard, self.membrane[layer][t + 1],
                self.spike[layer][t + 1],
            )
            for layer, width in enumerate(self._hidden)
        ]  # fmt: skip
        given = self.u[t + MAX_DELAY]
        rest = [self._record(flight.command, n, self.output, self.noise[t], given, self.gain[t])]
        rest += [self._record(kernel, n, *arguments) for kernel, arguments, _ in self._moves(t)]
        score = (self.u, t, self.course[t], self._tick, self._rest, self.sums)
        return sight, fires, [*rest, self._record(flight.add_errors, n, self.state[part + self._parts], *score)]

    def _moves(self, t: int) -> list[tuple[Any, tuple[Any, ...], tuple[Any, ...]]]:
        """Kernel, arguments and their gradients of each substep of step t."""
        found: list[tuple[Any, tuple[Any, ...], tuple[Any, ...]]] = []
        for substep in range(self._parts):
            at = t * self._parts + substep
            before, after = self.state[at], self.state[at + 1]
            by_before, by_after = self.by_state[at % 2], self.by_state[(at + 1) % 2]
            if self._layout == "motors":
                kernel: Any = flight.move_motors
                counts: tuple[int, ...] = (t,)
            else:
                kernel, counts = flight.move_rates, (t, substep, self._parts)
            arguments = (before, self.u, *counts, self.late, self.course[t], self.plant, self._craft, after)
            gradients = (by_before, self.by_u, *[0] * len(counts), None, None, None, self._none, by_after)
            found.append((kernel, arguments, gradients))
        return found

    def _step_vjp(self, t: int) -> tuple[Any, list[tuple[torch.Tensor, Any]], list[Any], list[Any]]:
        """The launches of step t backwards: score; substeps; of each layer, and of the command last; what was seen."""
        n, part = self.vehicles, t * self._parts
        by_after, by_state = self.by_state[(part + self._parts) % 2], self.by_state[part % 2]
        score = self._record(
            flight.price, n, self.state[part + self._parts], self.u, t, self.course[t], self._tick, self._rest,
            self.weights, self._ones, back=(by_after, self.by_u, 0, None, 0.0, 0.0, None, self._ones),
        )  # fmt: skip
        moves = [(back[0], self._record(kernel, n, *given, back=back)) for kernel, given, back in self._moves(t)]
        unfires = [
            self._record(
                neurons.unfire, (n, width), self.by_spike[layer], self.membrane[layer][t], self.spike[layer][t],
                self.membrane[layer][t + 1], self.spike[layer][t + 1], self.parameters[4 * layer + 2],
                self.parameters[4 * layer + 3], self._hard, self.slope, self.by_membrane[layer], self.by_beta[layer],
                self.by_theta[layer],
            )
            for layer, width in enumerate(self._hidden)
        ]  # fmt: skip
        unfires.append(self._record(flight.command_back, n, self.by_u[t + MAX_DELAY], self.gain[t], self.by_output))
        state, see = self.state[part], []
        if self._volts is not None:
            back = (by_state, None, 0.0, 0.0, self.by_seen)
            see.append(self._record(flight.see_voltage, n, state, self.unseen[t], *self._volts, self.seen[t], back=back))
        if self._is_late:
            given = (self.recent, t, self.unseen[t], self.turn[t], self.age[t], self.seen[t])
            see.append(self._record(flight.see_late, n, *given, back=(self.by_recent, 0, None, None, None, self.by_seen)))
            newest = MAX_AGE + t
            see.append(self._record(flight.show, n, state, self.recent[newest], back=(by_state, self.by_recent[newest])))
        else:
            see.append(self._record(flight.see, n, state, self.unseen[t], self.seen[t], back=(by_state, None, self.by_seen)))
        see.append(self._record(flight.restrain, n, self.weights, by_state))
        return score, list(reversed(moves)), unfires, see


def _array(value: Any) -> Any:
    return wp.from_torch(value) if isinstance(value, torch.Tensor) else value


def _run(launches: Sequence[Any]) -> None:
    for launch in launches:
        launch.launch()
