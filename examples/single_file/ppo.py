"""PPO on one page: a spiking network learns to fly a quadrotor from rewards alone.

256 vehicles fly 64 steps with the network's actions and Gaussian noise. Generalised advantage estimation says which actions
were better than expected, and three passes over the flight make those likelier (Schulman et al. 2016, 2017). The gradient
goes back through all 64 steps of the neurons. A critic learns beside the network; it also sees the rotor speeds. There is no
guide and no label. Recipe `ppo` is the same method; there kernels do what torch does here.

python examples/single_file/ppo.py                      # a few minutes on one core
python examples/single_file/ppo.py --seed 1
python examples/single_file/ppo.py --steps 500000       # a first look
"""

import argparse
import copy
import math
import time

import numpy as np
import torch
from torch import nn

import spike_ctrl

STEPS = 4_500_000  # flown by all vehicles together
VEHICLES, TICKS = 256, 64  # of an iteration
EPOCHS, SEQUENCES = 3, 64  # passes over the flight; vehicles of a minibatch
BOX = 1.5  # m: who leaves it has crashed
RATE, RATE_END = 7e-4, 1e-6  # learning rate
GAMMA, LAMBDA, CLIP = 0.99, 0.95, 0.3
DEVIATION = 0.5  # of the exploring actions, at the start; it is learned
AVERAGING = 0.02  # the policy that is evaluated follows the one that learns by this share per update
SLOPE = 5.0  # of the surrogate derivative; larger is narrower
FIXED_STARTS = 51024461  # the seed of the starts that every figure of the documentation is measured on

# --- the spiking network: 18 observations, 256 and 128 leaky integrate-and-fire neurons, 4 motor commands in -1..1 ---


class Neurons(torch.autograd.Function):
    """All steps of a layer: U_t = I_t + beta U_{t-1} - theta s_{t-1}, s_t = 1 where U_t > theta, else 0.

    Back in time, with G_t the gradient of s_t and g(x) = 1 / (1 + k |x|)^2 in the place of the derivative of a spike:
    dU_t = (G_t - theta dU_{t+1}) g(U_t - theta) + beta dU_{t+1}. Autograd would find the same, several times slower.
    """

    @staticmethod
    def forward(ctx, current, keep, beta, theta, membrane, spike):
        """current [T, B, H]; keep [T, B, 1], 0 where an episode begins; membrane, spike [B, H] before the first step."""
        membranes, spikes = torch.empty_like(current), torch.empty_like(current)
        ctx.before = membrane, spike
        for now, kept, u, s in zip(current, keep, membranes, spikes, strict=True):
            torch.mul(membrane, beta, out=u).addcmul_(spike, theta, value=-1).mul_(kept).add_(now)
            torch.gt(u, theta, out=s)
            membrane, spike = u, s
        ctx.save_for_backward(keep, beta, theta, membranes, spikes)
        ctx.mark_non_differentiable(membranes)
        return spikes, membranes

    @staticmethod
    def backward(ctx, by_spikes, _):
        keep, beta, theta, membranes, spikes = ctx.saved_tensors
        by_current = torch.empty_like(by_spikes)
        later, at_spike, slope, by_beta, by_theta = torch.zeros(5, *spikes[0].shape)
        for t in reversed(range(len(keep))):
            torch.sub(membranes[t], theta, out=slope).abs_().mul_(SLOPE).add_(1).square_()
            torch.addcmul(by_spikes[t], theta, later, value=-1, out=at_spike).div_(slope)
            torch.addcmul(at_spike, beta, later, out=by_current[t])
            torch.mul(by_current[t], keep[t], out=later)
            membrane, spike = (membranes[t - 1], spikes[t - 1]) if t else ctx.before
            by_beta.addcmul_(later, membrane)
            by_theta.sub_(at_spike).addcmul_(later, spike, value=-1)
        return by_current, None, by_beta.sum(0), by_theta.sum(0), None, None


class Layer(nn.Linear):
    """Weights, and leak beta and threshold theta of each neuron; all are learned."""

    def __init__(self, inputs, neurons):
        super().__init__(inputs, neurons)
        self.beta, self.theta = nn.Parameter(torch.rand(neurons)), nn.Parameter(torch.rand(neurons).clamp(min=0.05))


class Policy(nn.Module):
    """Two layers of spiking neurons and a readout with tanh. Training starts with the action that hovers."""

    def __init__(self, hover):
        super().__init__()
        self.layers = nn.ModuleList([Layer(18, 256), Layer(256, 128)])
        self.output = nn.Linear(128, 4)
        nn.init.constant_(self.output.bias, math.atanh(hover))

    def initial_state(self, vehicles):
        return [(torch.zeros(vehicles, len(layer.beta)),) * 2 for layer in self.layers]

    def forward(self, observation, keep, state):
        """T steps: observations [T, B, 18] to actions [T, B, 4] and the state of the neurons after the last step."""
        x, after = observation, []
        for layer, (membrane, spike) in zip(self.layers, state, strict=True):
            x, membranes = Neurons.apply(layer(x), keep, layer.beta, layer.theta, membrane, spike)
            after.append((membranes[-1].detach(), x[-1].detach()))
        return torch.tanh(self.output(x)), after

    @torch.no_grad()
    def step(self, observation, state, keep=None):
        """One step without gradient: observations [B, 18] of numpy to actions [B, 4] and the state after it."""
        keep = torch.ones(len(observation), 1) if keep is None else keep
        action, state = self(torch.from_numpy(observation)[None], keep[None], state)
        return action[0], state

    @torch.no_grad()
    def keep_ranges(self):
        for layer in self.layers:
            layer.beta.clamp_(0, 1)
            layer.theta.clamp_(min=0.05)


# --- training ---


def worth(reward):
    """What is learned of a reward: its share between what a vehicle earns that rests at the wall and the best, 1.

    A raw reward is negative far from the set-point, so that it would pay to crash. The root lets the last centimetres count.
    """
    floor = 1 - BOX**2
    return (1 - GAMMA) * (1 - (1 - ((reward - floor) / (1 - floor)).clamp(0, 1)).sqrt())


def critic_network():
    """The value of what is seen [..., 18 + 4], in 0..1."""
    return nn.Sequential(nn.Linear(22, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 1), nn.Flatten(-2))


def train(seed, steps=STEPS, show=print):
    """The trained policy; `show` gets a line now and then."""
    torch.manual_seed(seed)
    environment = spike_ctrl.make_env("crazyflie", vehicles=VEHICLES, box=BOX, episode_steps=500)
    observation, _ = environment.reset(seed=seed)
    policy, critic = Policy(hover=2 * environment.airframe.hover - 1), critic_network()
    average = copy.deepcopy(policy)
    deviation = nn.Parameter(torch.full((4,), math.log(DEVIATION)))
    optimiser = torch.optim.Adam([*policy.parameters(), *critic.parameters(), deviation])
    neurons, keep = policy.initial_state(VEHICLES), torch.zeros(VEHICLES, 1)
    iterations, begun, returns = max(1, steps // (VEHICLES * TICKS)), time.monotonic(), []

    def likelihood(mean, sample):
        """Logarithm of the probability of samples [..., 4] around the mean, but for a constant."""
        return -(0.5 * ((sample - mean) / deviation.exp()).square() + deviation).sum(-1)

    for iteration in range(iterations):
        at_start, flight = neurons, []
        for _ in range(TICKS):
            seen = torch.from_numpy(np.concatenate([observation, environment.rotor_speed], 1))
            mean, neurons = policy.step(observation, neurons, keep)
            sample = mean + deviation.detach().exp() * torch.randn(mean.shape)
            observation, reward, terminated, truncated, info = environment.step(sample.numpy())
            reached = torch.from_numpy(np.concatenate([observation, environment.rotor_speed], 1))
            ended = terminated | truncated
            flight.append((seen, reached, keep, mean, sample, *map(torch.from_numpy, (reward, terminated, ended))))
            if ended.any():
                returns.extend(info["flight"]["r"][ended])
                observation, _ = environment.reset(options={"reset_mask": ended})
            keep = torch.from_numpy(~ended[:, None]).float()
        seen, reached, kept, mean, sample, reward, terminated, ended = map(torch.stack, zip(*flight, strict=True))

        with torch.no_grad():
            value, before = critic(seen), likelihood(mean, sample)
            surprise = worth(reward) + GAMMA * critic(reached) * ~terminated - value
            advantage, later = torch.empty_like(value), torch.zeros(VEHICLES)
            for t in reversed(range(TICKS)):  # nothing reaches back over the end of an episode
                advantage[t] = later = surprise[t] + GAMMA * LAMBDA * later * ~ended[t]
            target = advantage + value
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-6)
        optimiser.param_groups[0]["lr"] = RATE + (RATE_END - RATE) * iteration / iterations
        for _ in range(EPOCHS):
            for rows in torch.randperm(VEHICLES).split(SEQUENCES):
                state = [(membrane[rows], spike[rows]) for membrane, spike in at_start]
                action, _ = policy(seen[:, rows, :18], kept[:, rows], state)
                ratio = (likelihood(action, sample[:, rows]) - before[:, rows]).exp()
                gain = advantage[:, rows]
                loss = -torch.minimum(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
                # Half of the steps are enough for the critic: the next one is only 10 ms later.
                error = (critic(seen[::2, rows]) - target[::2, rows]).square().mean() / (target.var() + 1e-6)
                optimiser.zero_grad()
                (loss + 0.5 * error).backward()
                nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
                nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
                optimiser.step()
                policy.keep_ranges()
                with torch.no_grad():
                    torch._foreach_lerp_(list(average.parameters()), list(policy.parameters()), AVERAGING)

        if iteration % 10 == 9 or iteration == iterations - 1:
            left = (time.monotonic() - begun) / (iteration + 1) * (iterations - iteration - 1)
            recent = np.mean(returns[-500:]) if returns else np.nan
            done, noise = 100 * (iteration + 1) / iterations, deviation.detach().exp().mean()
            show(f"{done:3.0f} %, {left:4.0f} s left, return {recent:6.1f} with noise {noise:.2f}")
    trim(average, environment.airframe.hover)
    return average


@torch.no_grad()
def trim(policy, hover):
    """Remove the steady offset of the hover: a policy that rests at p rests at 0 if it sees its position shifted by p."""
    start = {"at_target": 1, "rotors_low": hover, "rotors_high": hover}
    environment = spike_ctrl.make_env("crazyflie", vehicles=16, box=BOX, episode_steps=600, start=start)
    first = policy.layers[0]
    for _ in range(2):
        observation, _ = environment.reset(seed=0)
        neurons, offset = policy.initial_state(16), np.zeros(3)
        for step in range(600):
            action, neurons = policy.step(observation, neurons)
            observation, *_ = environment.step(action.numpy())
            offset += observation[:, :3].mean(0) / 300 * (step >= 300)
        if np.linalg.norm(offset) < 0.5:  # else it does not hover
            first.bias += first.weight[:, :3] @ torch.from_numpy(offset).float()


# --- the figure: 1024 fixed starts in a box of 1.5 m, 5 s each, as `spike-ctrl eval` measures it ---


def evaluate(policy, starts=1024, seed=FIXED_STARTS):
    """Mean return and share of the flights that stay inside the box. A perfect hover earns 500."""
    environment = spike_ctrl.make_env("crazyflie", vehicles=starts, box=1.5, episode_steps=500)
    observation, _ = environment.reset(seed=seed)
    neurons, total, flies = policy.initial_state(starts), np.zeros(starts), np.ones(starts, bool)
    for _ in range(500):
        action, neurons = policy.step(observation, neurons)
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
