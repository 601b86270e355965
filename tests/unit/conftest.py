"""The fixtures of tests without processes."""

from flight_fixtures import *  # noqa: F403
