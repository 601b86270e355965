"""TD3BC with a jump start on one page: a spiking network learns to fly a quadrotor from rewards and from a guide's flights.

A guide flies the beginning of each flight and the network the rest; the guide's part shrinks to nothing (JSRL, Uchendu et
al. 2023). All that was flown is kept. Critics learn from it what flights are worth (TD3), and the actor what they think
well of, while it stays near the actions that were flown (TD3+BC, Fujimoto and Gu 2021). Only the guide and the critics see
the speeds of the rotors. Recipe `td3bc` is the same method; there kernels do what torch does here.

python examples/single_file/td3bc.py                    # a few minutes on one core
python examples/single_file/td3bc.py --seed 1
python examples/single_file/td3bc.py --steps 60000      # a first look
"""

import argparse
import copy
import math
import time

import numpy as np
import torch
from torch import nn
from torch.nn.functional import layer_norm

import spike_ctrl

STEPS = 450_000  # flown by all vehicles together
VEHICLES, TICKS = 256, 4  # of an iteration, which is so many updates:
CRITIC_UPDATES, ACTOR_UPDATES = 6, 8
WINDOW, BATCH, BURN_IN = 50, 64, 10  # steps and number of the windows of an update; steps until the membranes have settled
BOX, SLOPE = 1.5, 5.0  # m: who leaves the box has crashed; k of the surrogate derivative
RATE, RATE_END = 2e-3, 5e-5  # learning rate
GAMMA, LAMBDA, TAU, AVERAGING = 0.99, 0.8, 0.02, 0.005  # discount, TD(lambda), rates of the targets and of the average
HORIZON, ALONE = 150, 0.35  # steps that the guide flies at most; from this share of the training on it flies no more
NOISE, MEMORY = 0.25, math.exp(-0.1)  # of the exploring actions: deviation, and correlation from step to step
BC, BC_END, OWN = 1.0, 0.3, 0.1  # weight of the action that was flown, and share of it where the network flew itself
ALPHA, CHANGE, Q_FROM, Q_FULL = 3.0, 0.1, 0.15, 0.3  # weights of the critic and of changing actions; when the critic's grows
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


# --- the guide: a geometric controller that knows the vehicle and sees its rotors ---


class Guide:
    """A cascade: position, thrust vector, tilt before yaw, mixer, and a lead that shortens the lag of the motors sixfold."""

    def __init__(self, airframe):
        self.mass, self.inertia, self.thrust_curve = airframe.mass, np.array(airframe.inertia), airframe.thrust_curve
        x, y = np.array(airframe.rotor_x), np.array(airframe.rotor_y)
        spin = airframe.torque_per_thrust * np.array(airframe.rotor_spin)
        self.mixer = np.linalg.inv([np.ones(4), y, -x, spin])  # collective and torques (N, N m) to thrusts of the rotors

    def act(self, observation, rotor_speed):
        """Observations [N, 18] and rotor speeds [N, 4] in 0..1 to actions [N, 4] in -1..1."""
        p, v, w = observation[:, :3], observation[:, 12:15], observation[:, 15:]
        axes = observation[:, 3:12].reshape(-1, 3, 3)
        near = np.minimum(1, 1.4 / np.maximum(np.linalg.norm(p, axis=1, keepdims=True), 1e-6))
        force = self.mass * (-(3.5**2) * near * p - 2 * 0.85 * 3.5 * v + [0, 0, 9.81])
        force[:, 2] = np.maximum(force[:, 2], 0.2 * self.mass * 9.81)
        planar = np.linalg.norm(force[:, :2], axis=1)
        force[:, :2] *= np.minimum(1, force[:, 2] * math.tan(1.4) / np.maximum(planar, 1e-9))[:, None]
        wanted, up = force / np.linalg.norm(force, axis=1, keepdims=True), axes[:, :, 2]
        normal = np.cross(up, wanted)
        sine = np.maximum(np.linalg.norm(normal, axis=1), 1e-6)
        tilt = (np.arctan2(sine, (up * wanted).sum(1)) / sine)[:, None] * np.einsum("nij,ni->nj", axes, normal)
        yaw = np.arctan2(axes[:, 1, 0] - axes[:, 0, 1], axes[:, 0, 0] + axes[:, 1, 1])
        turn = np.concatenate([17**2 * tilt[:, :2] - 2 * 1.07 * 17 * w[:, :2], (-25 * yaw - 10 * w[:, 2])[:, None]], 1)
        torque = self.inertia * turn + np.cross(w, self.inertia * w)
        # Roll and pitch first, then as much yaw as there is room for, the collective last.
        (c0, c1, c2), low, high = self.thrust_curve, self.thrust_curve[0], sum(self.thrust_curve)
        thrust, swing = torque[:, :2] @ self.mixer[:, 1:3].T, torque[:, 2:] * self.mixer[:, 3]
        thrust *= np.minimum(1, (high - low) / np.maximum(np.ptp(thrust, axis=1), 1e-9))[:, None]
        thrust += swing * np.minimum(1, (high - low - np.ptp(thrust, 1)) / np.maximum(np.ptp(swing, 1), 1e-9))[:, None]
        lift = np.maximum((force * up).sum(1), 0) / 4
        lift = np.minimum(np.maximum(lift, low - thrust.min(1)), high - thrust.max(1))
        thrust = np.clip(thrust + lift[:, None], low, high)
        u = (-c1 + np.sqrt(np.maximum(c1**2 - 4 * c2 * (c0 - thrust), 0))) / (2 * c2)
        u = rotor_speed + 6 * (u - rotor_speed)
        return np.clip(2 * u - 1, -1, 1).astype(np.float32)


class Value(nn.Module):
    """A network of 18 observations, 4 rotor speeds, the sizes of four errors, and an action, if it is given one."""

    def __init__(self, inputs):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(inputs + 4, 128), nn.Linear(128, 128), nn.Linear(128, 1)])
        self.register_buffer("scale", torch.tensor([1.0] * 12 + [0.5] * 3 + [0.1] * 3 + [1.0] * 4))

    def forward(self, seen, *action):
        x = seen * self.scale
        sizes = [x[..., part].norm(dim=-1, keepdim=True) for part in (slice(3), slice(9, 11), slice(12, 15), slice(15, 18))]
        x = torch.cat([x, *action, *sizes], -1)
        for layer in self.layers[:2]:
            x = torch.relu(layer_norm(layer(x), (128,)))
        return self.layers[2](x)[..., 0]


def worth(reward):
    """What is learned of a reward: 0 for a rest at the wall, at most .3. Under the raw reward it would pay to crash."""
    floor = 1 - BOX**2
    return 0.3 * (1 - (1 - ((reward - floor) / (1 - floor)).clamp(0, 1)) ** 0.25)


# --- learning ---


class Flights:
    """All that was flown. What an action led to is the next row; in a flight's last row the action does nothing."""

    def __init__(self, ticks):
        self.ticks = 0
        self.rows = {"seen": torch.zeros(ticks, VEHICLES, 22), "action": torch.zeros(ticks, VEHICLES, 4)}
        self.rows |= {name: torch.zeros(ticks, VEHICLES) for name in ("reward", "first", "crashed", "ended", "guided")}

    def add(self, **row):
        for name, values in row.items():
            self.rows[name][self.ticks] = torch.from_numpy(values)
        self.ticks += 1

    def sample(self):
        """Windows of WINDOW steps and the state after them, [WINDOW + 1, BATCH, ...] by name; several flights may be in one.

        `weight` is 0 where an action does nothing, and for BURN_IN steps of a flight whose beginning is not in the window.
        """
        tick = torch.randint(self.ticks - WINDOW, (BATCH,)) + torch.arange(WINDOW + 1)[:, None]
        vehicle = torch.randint(VEHICLES, (BATCH,))
        window = {name: values[tick, vehicle] for name, values in self.rows.items()}
        settled = window["first"].cummax(0)[0]
        settled[BURN_IN:] = 1
        return window | {"keep": (1 - window["first"])[..., None], "weight": (settled * (1 - window["ended"]))[:-1]}


def mean(values, weight):
    return (weight * values).sum() / weight.sum()


class TD3BC:
    """Actor, critics and targets. Q(s, a) = V(s) + A(s, a) - A(s, own), where own is what the network itself does in s.

    A single network Q would explain bad returns by the large actions that bad states call for, and so misguide the actor.
    """

    def __init__(self, hover):
        self.actor, self.value, self.advantage = Policy(hover), Value(22), Value(26)
        self.actor_target, self.value_target, self.average = map(copy.deepcopy, (self.actor, self.value, self.actor))
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters())
        self.critic_optimiser = torch.optim.Adam([*self.value.parameters(), *self.advantage.parameters()])
        self.updates = 0

    def update_critics(self, window):
        seen, action, weight = window["seen"], window["action"][:-1], window["weight"]
        with torch.no_grad():
            own, _ = self.actor_target(seen[:-1, :, :18], window["keep"][:-1], self.actor.initial_state(BATCH))
            reward, after, target = worth(window["reward"]), self.value_target(seen[1:]), torch.zeros(WINDOW, BATCH)
            later = after[-1]
            for t in reversed(range(WINDOW)):  # no return reaches back over the end of a flight
                mix = LAMBDA * (1 - window["ended"][t + 1]) if t < WINDOW - 1 else 0.0
                later = reward[t] + GAMMA * (1 - window["crashed"][t + 1]) * ((1 - mix) * after[t] + mix * later)
                target[t] = later
        half = slice(None, WINDOW, 2)  # of the steps are enough here: the next one is only 10 ms later
        done, usual = self.advantage(seen[half].expand(2, -1, -1, -1), torch.stack([action[half], own[half]]))
        error = mean((self.value(seen[half]) + done - usual - target[half]).square(), weight[half])
        self.critic_optimiser.zero_grad()
        error.backward()
        self.critic_optimiser.step()
        follow(self.value_target, self.value, TAU)

    def update_actor(self, window, bc, q):
        seen, weight = window["seen"][:-1], window["weight"]
        action, _ = self.actor(seen[..., :18], window["keep"][:-1], self.actor.initial_state(BATCH))
        flown = window["guided"][:-1] + OWN * (1 - window["guided"][:-1])
        loss = bc * mean(flown * (action - window["action"][:-1]).square().sum(-1), weight)
        loss = loss + CHANGE * mean((action[1:] - action[:-1]).square().sum(-1), weight[1:] * weight[:-1])
        if q:
            with torch.no_grad():
                value = self.value(seen[::2])
                deviation = mean((value - mean(value, weight[::2])).square(), weight[::2]).sqrt()
            loss = loss - q * ALPHA * mean(self.advantage(seen[::2], action[::2]), weight[::2]) / deviation
        self.actor_optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.actor.parameters(), 1.0)
        self.actor_optimiser.step()
        self.actor.keep_ranges()
        self.updates += 1
        follow(self.actor_target, self.actor, TAU)
        follow(self.average, self.actor, 0.05 if self.updates < 200 else AVERAGING)


def follow(target, source, share):
    torch._foreach_lerp_([p.data for p in target.parameters()], [p.data for p in source.parameters()], share)


def train(seed, steps=STEPS, show=print):
    """The trained policy; `show` gets a line now and then."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    environment = spike_ctrl.make_env("crazyflie", VEHICLES, box=BOX, episode_steps=250, start={"at_target": 0.3})
    observation, _ = environment.reset(seed=seed)
    guide, learner = Guide(environment.airframe), TD3BC(hover=2 * environment.airframe.hover - 1)
    iterations, begun = max(1, steps // (VEHICLES * TICKS)), time.monotonic()
    flights, neurons, returns = Flights(iterations * TICKS), learner.actor.initial_state(VEHICLES), []
    first, crashed, ended = (np.full(VEHICLES, flag) for flag in (True, False, False))
    step, hand_over, loudness, noise = *np.zeros((3, VEHICLES)), np.zeros((VEHICLES, 4))
    for iteration in range(iterations):
        progress = iteration / iterations
        for _ in range(TICKS):
            # Each flight is handed over at a step of its own, and has its own share of the noise.
            step = np.where(first, 0, step)
            hand_over = np.where(first, random.random(VEHICLES) * HORIZON * max(0, 1 - progress / ALONE), hand_over)
            loudness = np.where(first, random.random(VEHICLES), loudness)
            noise = np.where(first[:, None], 0, MEMORY * noise)
            noise += np.where(first[:, None], 1, math.sqrt(1 - MEMORY**2)) * random.standard_normal((VEHICLES, 4))
            action, neurons = learner.actor.step(observation, neurons, torch.from_numpy(~first[:, None]).float())
            explored = action.numpy() + NOISE * loudness[:, None] * noise
            guided, rotor_speed = step < hand_over, environment.rotor_speed
            action = np.where(guided[:, None], guide.act(observation, rotor_speed), explored).clip(-1, 1).astype(np.float32)
            after, reward, terminated, truncated, info = environment.step(action)
            flags = {"first": first, "crashed": crashed, "ended": ended, "guided": guided}
            flights.add(seen=np.concatenate([observation, rotor_speed], 1), action=action, reward=reward, **flags)
            first, crashed, ended = ended, terminated, terminated | truncated
            observation, step = after, step + 1
            returns.extend(info["flight"]["r"][ended] if info else [])
        if flights.ticks > 2 * WINDOW:
            for group in (*learner.actor_optimiser.param_groups, *learner.critic_optimiser.param_groups):
                group["lr"] = RATE * (RATE_END / RATE) ** progress
            for _ in range(CRITIC_UPDATES):
                learner.update_critics(flights.sample())
            q = min(1, max(0, (progress - Q_FROM) / (Q_FULL - Q_FROM)))
            for _ in range(ACTOR_UPDATES):
                learner.update_actor(flights.sample(), BC * (BC_END / BC) ** progress, q)
        if iteration % 20 == 19 or iteration == iterations - 1:
            left = (time.monotonic() - begun) / (iteration + 1) * (iterations - iteration - 1)
            recent = np.mean(returns[-300:]) if returns else np.nan
            done, share = 100 * (iteration + 1) / iterations, 100 * guided.mean()
            show(f"{done:3.0f} %, {left:4.0f} s left, return {recent:6.1f} of 250 with noise, guide {share:2.0f} %")
    return learner.average


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
