"""The fixtures that these tests share with others."""

from shared_fixtures import *  # noqa: F403
from toy_units import toy  # noqa: F401
