"""Model gradient on one page: back-propagation through a spiking network and a differentiable quadrotor.

A simulator written in torch flies the spiking network. The cost of the flight is differentiated with respect to the weights
of the network, and Adam follows the gradient. The trained network is then flown in the environment of spike_ctrl, which
training asks only where flights begin. Recipe `default` is the same method; there a kernel does what autograd does here.

python examples/single_file/bptt.py                     # a few minutes on one core
python examples/single_file/bptt.py --seed 1
python examples/single_file/bptt.py --steps 200000      # a first look
"""

import argparse
import math
import time

import numpy as np
import torch
from torch import nn

import spike_ctrl

STEPS = 3_200_000  # flown by all vehicles of the model together
VEHICLES, SEGMENT = 64, 100  # of an update: vehicles, control steps of 10 ms through which the gradient flows
EPISODE = 2  # segments; the state of the network goes over from one to the next, the gradient does not
BOX, TUMBLING = 4.0, 30.0  # m, rad/s; who is beyond is lost: its flight counts no more, and it begins anew after the segment
RATE, RATE_END = 3e-3, 3e-5  # learning rate, along half a cosine
NOISE = 0.02  # of the actions, standard deviation
DECAY = 0.985  # of the gradient with respect to the vehicle's state, per step: what a step does is felt for about .7 s
SLOPE = 2.0  # of the surrogate derivative; larger is narrower
FIXED_STARTS = 51024461  # the seed of the starts that every figure of the documentation is measured on

# --- the spiking network: 18 observations, 256 and 128 leaky integrate-and-fire neurons, 4 motor commands in -1..1 ---


class Spike(torch.autograd.Function):
    """1 where the membrane is above its threshold, else 0. Its derivative is replaced by 1 / (1 + k |x|)^2."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient / (1 + SLOPE * x.abs()).square()


class LIF(nn.Linear):
    """A layer of neurons: U <- beta U + W x + b - s theta, s <- 1 where U > theta. beta and theta are learned, too."""

    def __init__(self, inputs, neurons):
        super().__init__(inputs, neurons)
        self.beta, self.theta = nn.Parameter(torch.rand(neurons)), nn.Parameter(torch.rand(neurons).clamp(min=0.05))

    def forward(self, x, state):
        """Input [B, inputs] and (membrane, spike) of the step before, [B, neurons] each, to those of this step."""
        membrane, spike = state
        membrane = torch.addcmul(super().forward(x), self.beta, membrane)
        membrane = torch.addcmul(membrane, spike, self.theta, value=-1)
        return membrane, Spike.apply(membrane - self.theta)


class Policy(nn.Module):
    """Two layers of spiking neurons and a readout with tanh. Training starts with the action that hovers."""

    def __init__(self, hover):
        super().__init__()
        self.layers = nn.ModuleList([LIF(18, 256), LIF(256, 128)])
        self.output = nn.Linear(128, 4)
        nn.init.constant_(self.output.bias, math.atanh(hover))

    def initial_state(self, vehicles):
        return [(torch.zeros(vehicles, len(layer.beta)),) * 2 for layer in self.layers]

    def forward(self, observation, state):
        """Observations [B, 18] and the state of the neurons to actions [B, 4] and the state after the step."""
        x, after = observation, []
        for layer, before in zip(self.layers, state, strict=True):
            after.append(layer(x, before))
            x = after[-1][1]
        return torch.tanh(self.output(x)), after

    @torch.no_grad()
    def keep_ranges(self):
        for layer in self.layers:
            layer.beta.clamp_(0, 1)
            layer.theta.clamp_(min=0.05)


# --- the model: a quadrotor in torch, with the numbers of config/airframes/crazyflie.yaml ---

DT, GRAVITY, MASS, LAG = 0.01, 9.81, 0.027, 0.072  # s, m/s^2, kg, s
INERTIA = torch.tensor([1.029e-5, 1.105e-5, 2.005e-5])  # kg m^2
THRUST = 0.0213, -0.0112, 0.1201  # N of a rotor at the normalised speed r: c0 + c1 r + c2 r^2
X = torch.tensor([0.028, -0.028, -0.028, 0.028])  # m forward, of the rotors front-right, back-right, back-left, front-left
Y = torch.tensor([-0.028, -0.028, 0.028, 0.028])  # m left
TURN = 4.665e-3 * torch.tensor([-1.0, 1.0, -1.0, 1.0])  # N m of reaction torque for each N
MIXER = torch.stack([Y, -X, TURN], 1)  # [4, 3]: torque about the body's axes for each N of a rotor
HOVER = (-THRUST[1] + math.sqrt(THRUST[1] ** 2 - 4 * THRUST[2] * (THRUST[0] - MASS * GRAVITY / 4))) / (2 * THRUST[2])
WEIGHT = torch.tensor([0.0, 0.0, GRAVITY])


def move(state, u):
    """One control step of the vehicles under the motor commands u [B, 4] in 0..1; second order in the step.

    state [B, 22]: position (m), rotation matrix row by row, velocity (m/s), body rates (rad/s), rotor speeds in 0..1. Its
    first 18 numbers are what the policy observes, since the set-point is the origin.
    """
    position, axes, velocity, rates, rotor = state.split([3, 9, 3, 3, 4], 1)
    axes = axes.unflatten(1, (3, 3))
    middle = torch.lerp(u, rotor, math.exp(-DT / 2 / LAG))  # the rotors half a step later
    thrust = THRUST[0] + middle * (THRUST[1] + middle * THRUST[2])
    torque = thrust @ MIXER - torch.linalg.cross(rates, INERTIA * rates)
    # Within 40 rad/s: a vehicle that tumbles would spoil the gradient of all.
    rates_after = torch.addcdiv(rates, torque, INERTIA, value=DT).clamp(-40, 40)
    half = (DT / 4) * (rates + rates_after)[:, None]  # Rodrigues vector of the step's rotation: half of its angle
    turned = torch.linalg.cross(axes, half)
    turned = turned + torch.linalg.cross(turned, half)
    axes_after = torch.addcdiv(axes, turned, 1 + half.square().sum(2, keepdim=True), value=2)
    up = (axes + axes_after)[:, :, 2]  # twice the mean of the body's z axis
    velocity_after = torch.addcmul(velocity, up, thrust.sum(1, keepdim=True), value=DT / 2 / MASS) - DT * WEIGHT
    position_after = torch.add(position, velocity + velocity_after, alpha=DT / 2)
    rotor_after = torch.lerp(u, rotor, math.exp(-DT / LAG))
    return torch.cat([position_after, axes_after.flatten(1), velocity_after, rates_after, rotor_after], 1)


def lost(states):
    """Which vehicles are out of control: outside of the box, or tumbling."""
    return (states[..., :3].abs() > BOX).any(-1) | (states[..., 15:18].abs() > TUMBLING).any(-1)


def cost(states, commands):
    """What a flight costs, summed over steps and vehicles: the reward at the end of the paper's curriculum with the other
    sign, the change of the commands from step to step, and a wall at .9 m. It ends where a vehicle is lost.

    states [T, B, 22] after the steps; commands [T + 1, B, 4], of which the first is the one before.
    """
    position, axes, velocity = states[..., :3], states[..., 3:12].unflatten(-1, (3, 3)), states[..., 12:15]
    sine = ((axes - axes.transpose(-1, -2)).square().sum((-1, -2)) / 8 + 1e-12).sqrt()
    angle = torch.atan2(sine, (axes.diagonal(0, -1, -2).sum(-1) - 1) / 2)  # from level and straight
    found = (
        3.5 * position.square().sum(-1)
        + 0.1 * velocity.square().sum(-1)
        + 0.25 * angle.square()
        + 0.5 * (commands[1:] - HOVER).square().sum(-1)
        + 0.3 * (commands[1:] - commands[:-1]).square().sum(-1)
        + 2 * (position.abs() - 0.9).clamp(min=0).square().sum(-1)
    )
    return (found * ~lost(states).cummax(0)[0]).sum()


# --- training ---


def train(seed, steps=STEPS, show=print):
    """The trained policy; `show` gets a line now and then."""
    torch.manual_seed(seed)
    environment = spike_ctrl.make_env("crazyflie", vehicles=8192)
    observation, _ = environment.reset(seed=seed)
    starts = torch.from_numpy(np.concatenate([observation, environment.rotor_speed], 1))  # [8192, 22]
    policy = Policy(hover=2 * HOVER - 1)
    optimiser = torch.optim.Adam(policy.parameters(), lr=RATE, betas=(0.9, 0.99))
    vehicle, neurons = starts[torch.randint(len(starts), (VEHICLES,))], policy.initial_state(VEHICLES)
    before = torch.full((VEHICLES, 4), HOVER)
    age = torch.arange(VEHICLES) % EPISODE  # segments flown, not the same in all vehicles
    updates, begun = max(1, steps // (VEHICLES * SEGMENT)), time.monotonic()
    for update in range(updates):
        new = (age >= EPISODE) | lost(vehicle)
        vehicle = torch.where(new[:, None], starts[torch.randint(len(starts), (VEHICLES,))], vehicle)
        neurons = [tuple(torch.where(new[:, None], 0.0, part) for part in layer) for layer in neurons]
        before = torch.where(new[:, None], HOVER, before)
        age = torch.where(new, 0, age) + 1

        states, commands = [], [before]
        for _ in range(SEGMENT):
            action, neurons = policy(vehicle[:, :18], neurons)
            commands.append((action + NOISE * torch.randn_like(action)).clamp(-1, 1) / 2 + 0.5)
            vehicle = move(torch.lerp(vehicle.detach(), vehicle, DECAY), commands[-1])
            states.append(vehicle)
        total = cost(torch.stack(states), torch.stack(commands))
        optimiser.param_groups[0]["lr"] = RATE_END + (RATE - RATE_END) * (0.5 + 0.5 * math.cos(math.pi * update / updates))
        optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimiser.step()
        policy.keep_ranges()
        vehicle, before = vehicle.detach(), commands[-1].detach()
        neurons = [tuple(part.detach() for part in layer) for layer in neurons]

        if update % 25 == 24 or update == updates - 1:
            left = (time.monotonic() - begun) / (update + 1) * (updates - update - 1)
            mean = total.item() / (VEHICLES * SEGMENT)
            show(f"{100 * (update + 1) / updates:3.0f} %, {left:4.0f} s left, cost of a step {mean:7.3f}")
    return policy


# --- the figure: 1024 fixed starts in a box of 1.5 m, 5 s each, as `spike-ctrl eval` measures it ---


@torch.no_grad()
def evaluate(policy, starts=1024, seed=FIXED_STARTS):
    """Mean return and share of the flights that stay inside the box. A perfect hover earns 500."""
    environment = spike_ctrl.make_env("crazyflie", vehicles=starts, box=1.5, episode_steps=500)
    observation, _ = environment.reset(seed=seed)
    neurons, total, flies = policy.initial_state(starts), np.zeros(starts), np.ones(starts, bool)
    for _ in range(500):
        action, neurons = policy(torch.from_numpy(observation), neurons)
        observation, reward, terminated, *_ = environment.step(action.numpy())
        total += reward * flies
        flies &= ~terminated
    return total.mean(), flies.mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--steps", type=int, default=STEPS, help="flown by all vehicles together (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.monotonic()
    policy = train(options.seed, options.steps, lambda line: print(line, flush=True))
    trained = time.monotonic() - begun
    score, survival = evaluate(policy)
    print(f"return {score:.1f} of 500, survival {survival:.3f}, seed {options.seed}, trained in {trained:.0f} s")


if __name__ == "__main__":
    main()
