"""The fixtures of tests with real processes."""

from graph_fixtures import *  # noqa: F403
