"""A whole flight under launch_testing, as users test their own: `launch_test flight_for_launch_testing.py KEY:=VALUE`."""

import unittest

import launch
import launch_testing
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes

from spike_ctrl._files import resources

FIXED = {"vehicle": "embedded", "auto": "true", "duration": "5", "record": "false"}
GIVEN = ("connection", "realtime")


def generate_test_description():
    given = FIXED | {name: LaunchConfiguration(name) for name in GIVEN}
    source = PythonLaunchDescriptionSource(str(resources.find("launch", "flight.launch.py")))
    flight = IncludeLaunchDescription(source, launch_arguments=list(given.items()))
    return launch.LaunchDescription([*map(DeclareLaunchArgument, GIVEN), flight, ReadyToTest()])


class InTheAir(unittest.TestCase):
    def test_the_policy_flies_after_the_take_off(self, proc_output):
        for words in ("GUIDE: took off to", "GUIDE -> SNN"):
            proc_output.assertWaitFor(words, timeout=90)
        # The launch ends with the landing; what is said last is judged below.
        self.flew = True


@launch_testing.post_shutdown_test()
class AfterTheLanding(unittest.TestCase):
    def test_all_have_ended_well(self, proc_info):
        assertExitCodes(proc_info)
