"""Steps of `differentiable_step` one by one under torch's autograd, as `module_gradient` puts them together."""

import torch
from torch.autograd.function import once_differentiable

from spike_ctrl.sim.action_mapping import command


def advance(state, u, vehicles):
    """The states [B, S] one control step after `state`, with the commands u [B, 4] in [0, 1] that take effect in it."""
    return _Advance.apply(state, u, vehicles)


def control_step(state, action, vehicles):
    """One control step, from states [B, S] and actions [B, 4] to the next states and their observations [B, 18].

    Actions are clipped to [-1, 1] and take effect at once.
    """
    after = advance(state, command(action.clamp(-1.0, 1.0)), vehicles)
    return after, _Observe.apply(after, vehicles)


class _Advance(torch.autograd.Function):
    @staticmethod
    def forward(ctx, state, u, vehicles):
        vehicles.put(state)
        ctx.vehicles, ctx.step = vehicles, vehicles.advance(u)
        return vehicles.state()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        adjoint = ctx.vehicles.adjoint(gradient)
        by_u = ctx.vehicles.step_vjp(*ctx.step, adjoint)
        return ctx.vehicles.gradient(adjoint), by_u, None


class _Observe(torch.autograd.Function):
    @staticmethod
    def forward(ctx, state, vehicles):
        ctx.save_for_backward(state)
        ctx.vehicles = vehicles
        vehicles.put(state)
        return vehicles.observation()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (state,) = ctx.saved_tensors
        adjoint = ctx.vehicles.adjoint(torch.zeros_like(state))
        ctx.vehicles.put(state)
        ctx.vehicles.observe_back(gradient, adjoint)
        return ctx.vehicles.gradient(adjoint), None
