"""What an exported pipeline module calls: from the plain values in it to transforms."""

from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import msgspec

from penstock.data.recipe.beam.batched import Batched
from penstock.data.recipe.beam.pipeline import after_steps
from penstock.data.recipe.beam.sinks import write_files
from penstock.data.recipe.beam.sources import read_files
from penstock.data.recipe.document import read_options
from penstock.data.recipe.engine import FileFormat
from penstock.data.recipe.steps.base import Step
from penstock.data.recipe.steps.registry import STEPS
from penstock.data.schema import Column, Schema

__all__ = ["columns", "read_recipe_table", "read_steps", "run_steps", "write_rows"]


def columns(document: Sequence[Mapping[str, Any]]) -> Schema:
    """The columns of a table from their JSON."""
    return Schema(tuple(msgspec.convert(list(document), list[Column])))


def read_steps(document: Sequence[Mapping[str, Any]]) -> list[Step]:
    """Steps from their JSON."""
    return [STEPS[name].read(content) for item in document for name, content in item.items()]


def read_recipe_table(
    pipeline: beam.Pipeline, files: str | Sequence[str], schema: Schema, *, read: Mapping[str, Any], label: str
) -> Batched:
    """The rows of the files that patterns of Beam's file systems match."""
    patterns = [files] if isinstance(files, str) else list(files)
    return read_files(pipeline, patterns, schema, options=read_options(read, place=label), label=label)


def run_steps(rows: Batched, steps: Sequence[Step], tables: Mapping[str, Batched]) -> Batched:
    """The rows after all steps, each a transform of its own name."""
    return after_steps(rows, steps, tables)


def write_rows(rows: Batched, folder: str, *, file_format: FileFormat, partition_by: Sequence[str]) -> Any:
    """Writes the rows; returns the PCollection of files."""
    return write_files(rows, folder, file_format=file_format, partition_by=partition_by)
