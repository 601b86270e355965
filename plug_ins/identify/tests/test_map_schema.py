"""The JSON Schema of a map of columns: it says of a file what the loader says, by another's validator."""

import copy
import json

import jsonschema
import pytest
import yaml

from spike_ctrl._files import settings
from spike_ctrl._files.errors import UsageError
from spike_ctrl_identify import column_map

SHIPPED = column_map.MAPS / "map.json"


def test_the_shipped_schema_is_up_to_date():
    assert SHIPPED.read_text() == settings.text("map", column_map.schema())


@pytest.mark.parametrize("name", column_map.known())
def test_a_shipped_map_names_its_schema_and_fits_it(name):
    text = column_map.text(name)
    assert text.splitlines()[0] == f"# yaml-language-server: $schema={SHIPPED.name}"
    jsonschema.validate(yaml.safe_load(text), json.loads(SHIPPED.read_text()))


@pytest.mark.parametrize(
    ("key", "value"),
    [("unit", "furlong"), ("frame", "NED"), ("columns", ["a", "b"]), ("signs", [1, 2, 1]), ("oder", 1), ("optional", 1)],
)
def test_what_the_loader_refuses_the_schema_refuses_too(key, value):
    data = copy.deepcopy(yaml.safe_load(column_map.text("cfclient")))
    data["quantities"]["rates"][key] = value
    with pytest.raises(UsageError, match=f"quantities.rates.{key}"):
        column_map.parse(data, "map")
    assert not jsonschema.Draft202012Validator(json.loads(SHIPPED.read_text())).is_valid(data)
