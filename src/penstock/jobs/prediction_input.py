"""What a batch prediction is asked to do, and what it has done so far: ML Engine's PredictionInput and -Output."""

from typing import Any, Literal, get_args

import msgspec

from penstock.errors import PenstockError, UsageError, did_you_mean
from penstock.store import blobs

__all__ = [
    "STATE_FOLDER",
    "DataFormat",
    "PredictionInput",
    "ShardNote",
    "parse_data_format",
    "prediction_output",
    "shard_note_name",
]

DataFormat = Literal["JSON", "TEXT", "CSV", "PARQUET"]
STATE_FOLDER = ".prediction"
"""Folder inside the output path for the plan and a note of each finished shard."""


class PredictionInput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One batch prediction. Field names are ML Engine's; `keys` and the formats CSV and PARQUET are Penstock's.

    version_name, uri: what predicts: `projects/P/models/M/versions/V` of the registry, and its bundle. keys: columns of
    the input that go into the results as they are. max_worker_count: processes, 0 for as many as suit the machine.
    """

    version_name: str = ""
    uri: str = ""
    data_format: DataFormat = "JSON"
    input_paths: list[str] = []
    output_path: str = ""
    region: str = ""
    runtime_version: str = ""
    batch_size: int = 4096
    max_worker_count: int = 0
    keys: list[str] = []


class ShardNote(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Left beside the results of a shard once they are whole. plan: digest of the plan it belongs to."""

    plan: str
    prediction_count: int
    error_count: int
    seconds: float


def shard_note_name(index: int) -> str:
    """Where a finished shard's note is, in the output path."""
    return f"{STATE_FOLDER}/shard-{index:05}.json"


def parse_data_format(text: str) -> DataFormat:
    """The format as the API writes it; gcloud writes it in lower case. Raises UsageError."""
    given = text.upper().replace("-", "_")
    for known in get_args(DataFormat):
        if given == known:
            return known  # type: ignore[no-any-return]
    if given.startswith("TF_RECORD"):
        raise UsageError(f"--data-format {text} is not read here; write the instances as json, csv or parquet")
    known_names = [name.lower() for name in get_args(DataFormat)]
    raise UsageError(
        f"--data-format is {text!r}; expected one of {', '.join(known_names)}{did_you_mean(text.lower(), known_names)}"
    )


def prediction_output(prediction: PredictionInput, *, node_hours: float = 0.0) -> dict[str, Any]:
    """ML Engine's PredictionOutput: counts of the shards that are finished by now."""
    counted: dict[str, Any] = {"outputPath": prediction.output_path, "predictionCount": "0", "errorCount": "0"}
    try:
        plan = blobs.read_bytes(prediction.output_path, f"{STATE_FOLDER}/plan.json")
        digest = msgspec.json.decode(plan)["digest"]
        notes = []
        for name in blobs.list_files(blobs.join(prediction.output_path, STATE_FOLDER)):
            if name.startswith("shard-") and name.endswith(".json"):
                content = blobs.read_bytes(prediction.output_path, f"{STATE_FOLDER}/{name}")
                notes.append(msgspec.json.decode(content, type=ShardNote))
    except (PenstockError, msgspec.MsgspecError, KeyError, TypeError):
        return counted
    of_plan = [note for note in notes if note.plan == digest]
    counted["predictionCount"] = str(sum(note.prediction_count for note in of_plan))
    counted["errorCount"] = str(sum(note.error_count for note in of_plan))
    if node_hours:
        counted["nodeHours"] = round(node_hours, 6)
    return counted
