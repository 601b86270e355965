"""The fixtures of tests against the simulated PX4."""

from vehicle_fixtures import *  # noqa: F403
