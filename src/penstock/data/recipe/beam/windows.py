"""The window step on the rows of one partition, in memory."""

from collections.abc import Sequence
from typing import Any

from penstock.data.recipe.beam.aggregates import aggregation_of
from penstock.data.recipe.row_values import Row, sorted_rows, total_order
from penstock.data.recipe.steps.window import Window
from penstock.data.schema import DataType, Schema

__all__ = ["window_rows"]


def window_rows(step: Window, schema: Schema, rows: Sequence[Row]) -> list[Row]:
    """The rows of a partition with the step's columns behind.

    schema: the columns before the step; rows: after `step.neighbourhood(schema).before`.
    """
    window = step.neighbourhood(schema)
    inner = window.before.schema
    ordered = sorted_rows(rows, inner, total_order(schema, step.order)) if step.order else list(rows)
    width = len(schema)
    results: list[list[Any]] = []
    for result, function, source, count in window.calls:
        values = [None] * len(ordered) if source is None else [row[inner.names.index(source)] for row in ordered]
        match function:
            case "row_number":
                results.append(list(range(1, len(ordered) + 1)))
            case "rank" | "dense_rank":
                places = [schema.names.index(key.column) for key in step.order]
                results.append(_ranks(ordered, places, is_dense=function == "dense_rank"))
            case "lag":
                results.append(([None] * count + values)[: len(values)])
            case "lead":
                results.append((values + [None] * count)[count:])
            case _:
                results.append(_framed(values, function, count, result.type))
    return [(*row[:width], *extra) for row, *extra in zip(ordered, *results, strict=True)]


def _ranks(ordered: Sequence[Row], places: Sequence[int], *, is_dense: bool) -> list[int]:
    ranks: list[int] = []
    for index, row in enumerate(ordered):
        if index and all(row[place] == ordered[index - 1][place] for place in places):
            ranks.append(ranks[-1])
        else:
            ranks.append((ranks[-1] if ranks else 0) + 1 if is_dense else index + 1)
    return ranks


def _framed(values: Sequence[Any], function: str, count: int, kind: DataType) -> list[Any]:
    extent, _, name = function.partition("_")
    aggregation = aggregation_of(name, kind)
    state = aggregation.create()
    results = []
    for end, value in enumerate(values, start=1):
        if extent == "rolling":
            state = aggregation.create()
            for neighbour in values[max(0, end - count) : end]:
                state = state if neighbour is None else aggregation.add(state, neighbour)
        elif value is not None:
            state = aggregation.add(state, value)
        if extent != "total":
            results.append(aggregation.result(state))
    return [aggregation.result(state)] * len(values) if extent == "total" else results
