"""The fixtures that these tests share with others."""

from shared_fixtures import *  # noqa: F403
