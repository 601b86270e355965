"""The files that ship with the library, found in a checkout."""

import pytest

from spike_ctrl._files import resources


def test_resources_are_found_in_the_checkout_and_a_missing_file_names_its_neighbours():
    assert resources.find("launch", "sim_train.launch.py").is_file()
    with pytest.raises(FileNotFoundError, match=r"ghost\.yaml: not found in config; there are: .*crazyflie\.yaml"):
        resources.find("config", "airframes/ghost.yaml")
    with pytest.raises(ValueError, match="folder: found 'lunch', wanted one of launch, config, models"):
        resources.folder("lunch")
