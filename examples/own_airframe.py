"""Fly an airframe of your own: the guide shows that the description can be flown, then a policy is trained for it.

python examples/own_airframe.py                    # a minute
python examples/own_airframe.py --steps 100000     # a first look
"""

import argparse
import dataclasses

import spike_ctrl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=0, help="environment steps (default, and 0: the recipe's)")
    options = parser.parse_args()

    # From a YAML file it is Airframe.load("my_quad.yaml"). Here: a Crazyflie that carries 8 g more.
    crazyflie = spike_ctrl.Airframe.load("crazyflie")
    loaded = dataclasses.replace(crazyflie, name="loaded", mass=crazyflie.mass + 0.008)
    print(
        f"{loaded.name}: hovers at {loaded.hover:.0%} of the rotors' speed, thrust over weight {loaded.thrust_to_weight:.2f}"
    )

    guide = spike_ctrl.evaluate(spike_ctrl.GeometricGuide(loaded), starts=256)
    print(f"the guide returns {guide.headline:.0f}")
    _, evaluation = spike_ctrl.train("default", loaded, steps=options.steps, progress=print)
    print(f"the policy returns {evaluation.headline:.0f}")
    untrained = spike_ctrl.evaluate(spike_ctrl.load_policy("crazyflie"), loaded, starts=256)
    print(f"the policy of the crazyflie returns {untrained.headline:.0f} on it")


if __name__ == "__main__":
    main()
