"""The fixtures that these tests share with others."""

from graph_fixtures import *  # noqa: F403
from shared_fixtures import *  # noqa: F403
