"""Train a spiking policy, score it, and fly one vehicle with it: the library in one page.

python examples/quick_start.py                     # 30 s
python examples/quick_start.py --steps 100000      # a first look
"""

import argparse

import spike_ctrl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=0, help="environment steps (default, and 0: the recipe's)")
    options = parser.parse_args()

    policy, evaluation = spike_ctrl.train("default", airframe="crazyflie", steps=options.steps, seed=0, progress=print)
    print(f"return {evaluation.headline:.0f} of 500, {evaluation.columns['1.5m_start']['survival']:.1%} survive")

    environment = spike_ctrl.make_env("crazyflie")  # one vehicle, as any environment of Gymnasium
    observation, _ = environment.reset(seed=1)
    state, ended, steps = policy.initial_state(), False, 0
    while not ended:
        action, state = policy.step(observation, state)
        observation, _, terminated, truncated, _ = environment.step(action)
        ended, steps = terminated or truncated, steps + 1
    x, y, z = 100 * observation[:3]
    print(f"flew {steps / 100:.1f} s and ended at {x:.1f} {y:.1f} {z:.1f} cm from the set-point")


if __name__ == "__main__":
    main()
