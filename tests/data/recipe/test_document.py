import json
from pathlib import Path

import pytest
import yaml

from penstock.data.recipe.document import load_recipe, read_recipe, recipe_text, written_recipe
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.steps.registry import STEPS
from penstock.errors import ConfigError

EVERYTHING = r"""
source: rides.csv
read: {delimiter: ";"}
tables:
  zones: {source: zones.csv, read: {delimiter: ";"}}
steps:
  - filter: fare > 0 and city in ['a', 'on']
  - select: [a, b]
  - drop: a
  - rename: {a: b}
  - cast: {a: integer}
  - derive: {fare_per_km: fare / km, one: 1, flag: true}
  - join: {with: zones, on: zone, how: left}
  - join: {with: other.csv, on: {here: there}, suffix: _2}
  - replace: {city: {NYC: New York, "?": null, no: Norway}, n: {-1: null, 12: 0}}
  - fill: {age: {statistic: median}, when: 2020-01-01, x: 0, y: no}
  - clip: {x: {low: 0, high: 1.5}, y: {quantiles: [0.1, 0.9]}, z: {iqr: 1.5}}
  - trim: [a]
  - case: {a: upper}
  - extract: {code: {column: a, pattern: '\d+', group: 0}}
  - split_text: {column: a, separator: ' ', into: [b, c]}
  - parse_dates: {t: "%d/%m/%Y", u: {formats: [iso]}, v: [iso, '%Y']}
  - bucketize: {age: [18, 30], x: {quantiles: 4}}
  - one_hot: {city: [a, b], z: null, n: [1, true]}
  - flatten: {column: j, fields: {city: string, z: {path: "a.b[0]", type: integer}}}
  - explode: tags
  - sample: 0.5
  - sample: {rows: 10, seed: 3}
  - sort: [a, -b]
  - deduplicate
  - deduplicate: {by: id, order: -t}
  - union: more.csv
  - aggregate: {by: d, columns: {n: count(), m: "quantile(fare * 2, 0.9)"}}
  - pivot: {by: d, column: c, value: "sum(if(a > 1, x, 0))", values: [1, x, true]}
  - unpivot: [a, b]
  - window: {by: d, order: [t, -u], columns: {a: lag(fare), m: "rolling_mean(fare, 7)"}}
  - split: {method: time, by: t, at: [2020-01-01, 2021-01-01]}
  - split: stratified
output: {format: csv, partition_by: split}
"""
WITHOUT_BY = EVERYTHING.replace("  - split: stratified\n", "  - split\n")


def test_a_recipe_is_the_same_after_being_written_and_read() -> None:
    recipe = read_recipe(WITHOUT_BY)
    assert {step.step for step in recipe.steps} == set(STEPS)
    assert read_recipe(recipe_text(recipe)) == recipe
    assert read_recipe(json.dumps(written_recipe(recipe))) == recipe
    # Another YAML reader takes the same from it.
    assert yaml.safe_load(recipe_text(recipe)) == json.loads(json.dumps(written_recipe(recipe)))


def test_words_that_older_yaml_takes_for_booleans_are_texts() -> None:
    recipe = read_recipe("steps: [{join: {with: z, on: on}}, {fill: {a: no, b: 2020-01-01, c: 010, d: 1e3, e: true}}]")
    assert recipe.steps[0].written()["join"]["on"] == {"on": "on"}
    assert recipe.steps[1].written()["fill"] == {"a": "no", "b": "2020-01-01", "c": "010", "d": 1000.0, "e": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no recipe; expected at least a list of 'steps'"),
        ("[]", "holds no recipe"),
        ("steps: 3", "'steps' is a list of steps"),
        (
            "steps: []\nstpes: []",
            "no section 'stpes'; it may have source, read, tables, steps, output; did you mean 'steps'?",
        ),
        ("steps:\n  - filter: a\n  - filtr: b", "line 3, step 2: there is no step 'filtr'"),
        ("steps:\n  - filter: 'a +'", "line 2, step 1: expression 'a +', character 4: expected a value"),
        ("steps: [{filter: a, drop: b}]", "expected one step"),
        ("steps: [3]", "expected one step"),
        ("steps: [{derive: [a]}]", "Expected `object`, got `array`"),
        ("steps: [{derive: {a: 1, a: 2}}]", "'a' stands twice"),
        ("steps: [&x {drop: a}, *x]", "a recipe has no aliases"),
        ("steps: [{cast: {a: intger}}]", "there is no type 'intger'; there are integer, float"),
        ("steps: [{join: {with: a}}]", "expected the key columns under 'on'"),
        ("steps: [{join: {with: a, on: b, hwo: left}}]", "unknown field `hwo`"),
        ("steps: [{sample: 1.5}]", "fraction is 1.5; expected above 0, up to 1"),
        ("steps: [{sample: {}}]", "expected either fraction or rows"),
        ("steps: [{window: {order: t, columns: {a: lagg(x)}}}]", "'lagg(x)' is no call of a function it has"),
        ("steps: [{window: {columns: {a: lag(x)}}}]", "depends on the order of rows"),
        ("steps: [{window: {order: t, columns: {a: rolling_sum(x)}}}]", "lacks the number of rows"),
        ("steps: [{window: {order: t, columns: {a: 'lag(x, 0)'}}}]", "expected a whole number of rows from 1"),
        ("steps: [{aggregate: {columns: {a: mean()}}}]", "mean needs an expression, such as mean(fare)"),
        ("steps: [{aggregate: {columns: {a: 'sum(x, 3)'}}}]", "has an argument too many: 3"),
        ("steps: [{aggregate: {columns: {a: 'quantile(x, 2)'}}}]", "has no fraction from 0 to 1"),
        ("steps: [{split: {parts: {a: 0.5, b: 0.4}}}]", "add up to 0.9; expected 1"),
        ("steps: [{split: {method: time}}]", "time needs columns under 'by'"),
        ("steps: [{split: {method: time, by: t, at: [2020]}}]", "'at' holds the 2 instants"),
        ("steps: [{clip: {a: {low: 3, high: 1}}}]", "low 3 is above high 1"),
        ("steps: [{clip: {a: {}}}]", "expected low and high, or quantiles, or iqr"),
        ("steps: [{parse_dates: {a: {formats: [iso], zone: Asia/Tokyo}}}]", "a zone does not go with 'iso'"),
        ("steps: [{one_hot: {a: [x, x]}}]", "names a value twice"),
        ("read: {delimter: x}\nsteps: []", "there is no option 'delimter'"),
        ("tables: {z: {sauce: x}}\nsteps: []", "no field 'sauce'; it has source, read"),
        ("steps: []\noutput: {format: xlsx}", "format is 'xlsx'; expected parquet or csv"),
        ("steps: [" * 500, "nested too deeply"),
        ("steps: [{fill: {a: 2020-99-99}}, {x", "is not YAML"),
        ("steps: [!!python/object/apply:os.system ['true']]", "is not YAML"),
        (
            "steps:\n  - derive: {far: if(km > 5, 1, 0)}\n",
            "line 2, step 1: a comma in braces ends the value, here after 'if(km > 5'; put quotes around it",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_recipe(text, name="rides.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("rides.yaml")


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(
        "source: [a.csv, /b.csv, 's3://c/d.csv']\ntables: {z: z.csv}\n"
        "steps: [{join: {with: z, on: a}}, {union: [u.csv, z]}]"
    )
    recipe = load_recipe(file)
    assert recipe.source == (str(tmp_path / "a.csv"), "/b.csv", "s3://c/d.csv")
    assert recipe.tables["z"].source == str(tmp_path / "z.csv")
    assert [step.sources for step in recipe.steps] == [("z",), (str(tmp_path / "u.csv"), "z")]


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"recipe\.yaml"):
        load_recipe(file)


def test_a_file_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    with file.open("wb") as opened:
        opened.truncate(1 << 30)
    with pytest.raises(ConfigError, match="a recipe has at most"):
        load_recipe(file)


def test_the_python_chain_makes_what_the_file_says() -> None:
    chained = (
        Recipe(source="rides.csv")
        .filter("fare > 0")
        .replace({"zone": {"?": None, "n": "north"}})
        .parse_dates({"t": "%Y"}, zone="Asia/Tokyo")
        .one_hot("payment", ["card"])
        .join("zones.csv", "zone", how="left")
        .window({"a": "lag(fare)"}, by="zone", order="-t")
        .split("key", by="id")
        .partition_by("split")
    )
    written = """
source: rides.csv
steps:
  - filter: fare > 0
  - replace: {zone: {"?": null, n: north}}
  - parse_dates: {t: {formats: ["%Y"], zone: Asia/Tokyo}}
  - one_hot: {payment: [card]}
  - join: {with: zones.csv, on: zone, how: left}
  - window: {by: zone, order: -t, columns: {a: lag(fare)}}
  - split: {method: key, by: id}
output: {partition_by: split}
"""
    assert read_recipe(written) == chained
