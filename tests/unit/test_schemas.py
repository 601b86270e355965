"""JSON Schemas of recipes and airframes: they say of a file what the loader says, by another's validator."""

import functools
import json

import jsonschema
import pytest
import yaml
from refusal import refused

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.cli import main
from spike_ctrl.learn import recipe

pytestmark = pytest.mark.slow

CONFIG = resources.folder("config")
FILES = [path for kind in ("airframes", "recipes") for path in sorted((CONFIG / kind).glob("*.yaml"))]
EXAMPLES = sorted((CONFIG.parent / "examples").glob("*.yaml"))
PARSE = {"recipe": recipe.from_dict, "airframe": airframe.from_dict}
CRAFT = airframe.to_dict(airframe.load("x500"))


@functools.cache
def validator(kind):
    schema = json.loads((CONFIG / "schemas" / f"{kind}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("kind", PARSE)
def test_a_shipped_schema_is_what_the_verb_writes(kind, tmp_path, capsys):
    shipped = (CONFIG / "schemas" / f"{kind}.json").read_text()
    assert main.main(["schema", kind]) == 0 and capsys.readouterr().out == shipped
    assert main.main(["schema", kind, "-o", str(tmp_path / "mine.json")]) == 0
    assert (tmp_path / "mine.json").read_text() == shipped


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_shipped_file_names_its_schema_and_fits_it(path):
    first, kind = path.read_text().splitlines()[0], path.parent.name.removesuffix("s")
    assert first == f"# yaml-language-server: $schema=../schemas/{kind}.json"
    assert (path.parent / first.partition("=")[2]).is_file()
    validator(kind).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_recipe_of_an_example_names_its_schema_and_fits_it(path):
    assert path.read_text().splitlines()[0] == "# yaml-language-server: $schema=../config/schemas/recipe.json"
    validator("recipe").validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("kind", "data", "key"),
    [
        ("recipe", {"name": "a", "tsk": {}}, "tsk"),
        ("recipe", {"name": "a", "td3bc": {"gama": 1}}, "gama"),
        ("recipe", {"name": "a", "td3bc": {"gamma": 1.5}}, "gamma"),
        ("recipe", {"name": "a", "task": {"randomisation": {"sensors": {"delay": 1}}}}, "delay"),
        ("recipe", {"name": "a", "schedule": {"steps": 2.5}}, "steps"),
        ("recipe", {"name": "a", "network": {"hidden": [0]}}, "hidden"),
        ("recipe", {"name": "a", "network": {"slope": {"kind": "steep"}}}, "slope"),
        ("recipe", {"name": "a", "task": {"airframes": {"mass": [1]}}}, "mass"),
        ("recipe", {"name": "a", "guide": {"max_tilt": 3}}, "guide"),
        ("recipe", {"name": "a", "algorithm": "sac"}, "algorithm"),
        ("recipe", {"task": {}}, "name"),
        ("airframe", CRAFT | {"mas": "1 kg"}, "mas"),
        ("airframe", CRAFT | {"mass": "1 g"}, "mass"),
        ("airframe", CRAFT | {"mass": 1}, "mass"),
        ("airframe", CRAFT | {"inertia": "1 1 kg m^2"}, "inertia"),
        ("airframe", CRAFT | {"action_layout": "wings"}, "action_layout"),
        ("airframe", {key: CRAFT[key] for key in CRAFT if key != "mass"}, "mass"),
    ],
)
def test_what_the_loader_refuses_the_schema_refuses_too(kind, data, key):
    with pytest.raises(ValueError, match=key):
        PARSE[kind](data)
    assert not validator(kind).is_valid(data)


@pytest.mark.parametrize(
    "data",
    [
        {"base": "td3bc", "td3bc": {"bc": 1}},
        {"name": "a", "algorithm": "mine:Method", "network": {"class": "mine:Net", "width": 8}},
        {"name": "a", "guide": "run/policy.safetensors", "task": {"reward": "end"}},
        {"name": "a", "guide": {"recipe": "teacher"}, "task": {"reward": {"position": 2}}},
        {"name": "a", "task": {"terms": {"smooth": {"function": "mine:smooth", "weight": 1}}}},
    ],
)
def test_what_a_recipe_may_be_its_schema_takes(data):
    recipe.from_dict({"name": "a"} | data)
    validator("recipe").validate(data)


def test_each_setting_has_a_sentence():
    def silent(schema, path):
        for name, about in schema.get("properties", {}).items():
            if not about.get("description") and name not in ("kind", "class") and "slope" not in path:
                yield f"{path}.{name}"
            for part in (about, *about.get("anyOf", ())):
                yield from silent(part, f"{path}.{name}")

    assert not [name for kind in PARSE for name in silent(validator(kind).schema, kind)]


def test_an_unknown_kind_is_refused_by_name(capsys):
    wanted = "wanted one of airframe, course, map, race_recipe, recipe"
    assert f"KIND: found 'recipes', {wanted}" in refused(capsys, "schema", "recipes")
