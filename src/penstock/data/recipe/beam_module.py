"""A recipe as the text of an Apache Beam pipeline module. Does not import Beam: it only writes."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.data.recipe.check import CheckedRecipe
from penstock.data.recipe.document import written_recipe
from penstock.data.recipe.engine import sources_of
from penstock.data.recipe.recipe import Recipe
from penstock.data.schema import Schema

__all__ = ["beam_module"]

_TEMPLATE = '''"""The recipe {name} as an Apache Beam pipeline, written by Penstock.

Run it with Beam alone: python MODULE --output FOLDER [--source FILES] [--table NAME=FILES] [Beam's own options,
such as --runner=FlinkRunner]. Without a runner named it is Beam's DirectRunner. Its workers need the package
penstock[beam]: on a cluster name it in a --requirements_file.
"""

import argparse
import json

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from penstock.data.recipe.beam.module import columns, read_recipe_table, read_steps, run_steps, write_rows

STEPS = json.loads(r"""
{steps}
""")

# Where the rows are, and the columns that were found there: by table, the recipe's own under "source".
TABLES = json.loads(r"""
{tables}
""")

OUTPUT = json.loads(r"""
{output}
""")


def build(pipeline, sources, output):
    """Adds the recipe to a pipeline. sources: file patterns by table. output: a folder of Beam's file systems."""
    tables = {{
        name: read_recipe_table(pipeline, sources[name], columns(table["columns"]), read=table["read"], label=name)
        for name, table in TABLES.items()
    }}
    rows = run_steps(tables.pop("source"), read_steps(STEPS), tables)
    return write_rows(rows, output, **OUTPUT)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\\n")[0])
    parser.add_argument("--output", required=True, help="folder for the rows")
    parser.add_argument("--source", default=TABLES["source"]["files"], help="file pattern of the rows")
    parser.add_argument("--table", action="append", default=[], metavar="NAME=FILES", help="another table's files")
    known, others = parser.parse_known_args(arguments)
    sources = {{name: table["files"] for name, table in TABLES.items()}}
    sources.update(item.split("=", 1) for item in known.table)
    sources["source"] = known.source
    with beam.Pipeline(options=PipelineOptions(others)) as pipeline:
        build(pipeline, sources, known.output)


if __name__ == "__main__":
    main()
'''


def beam_module(recipe: Recipe, checked: CheckedRecipe, *, name: str) -> str:
    """Python source of a pipeline that runs the recipe on tables of the columns that it was checked with.

    name: of the recipe, for the first line.
    """
    assert recipe.source is not None
    tables = {"source": _table(recipe.source, checked.source, recipe.read)}
    for other in sources_of(recipe):
        known = recipe.tables.get(other)
        files = other if known is None else known.source
        tables[other] = _table(files, checked.tables[other], {} if known is None else known.read)
    output = {"file_format": recipe.output.format or "parquet", "partition_by": list(recipe.output.partition_by)}
    return _TEMPLATE.format(
        name=json.dumps(name).strip('"').replace("\\", "/"),
        steps=_json(written_recipe(recipe)["steps"]),
        tables=_json(tables),
        output=_json(output),
    )


def _table(files: str | tuple[str, ...], schema: Schema, read: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "files": files if isinstance(files, str) else list(files),
        "read": dict(read),
        "columns": msgspec.to_builtins(schema.columns),
    }


def _json(value: object) -> str:
    """JSON that cannot end the raw string it stands in, nor anything else: outside of ASCII it is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=True)
    return text.replace('"""', '"\\u0022"')
