"""One process of a batch prediction: takes its share of the shards, predicts them, and leaves results and errors.

`python -m penstock.flows.predict_batch PREDICTION_INPUT` (JSON). The processes of a job share nothing but the output
path: the first writes the plan there, and each leaves a note with every shard it has finished, by which a later run
knows not to do it again.
"""

import hashlib
import secrets
import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import msgspec
import orjson

from penstock.data.shards import InputFile, Shard, ShardFormat, cut_into_shards, find_input_files
from penstock.errors import NotFoundError, PenstockError, StoreError, UsageError
from penstock.jobs.prediction_input import STATE_FOLDER, DataFormat, PredictionInput, ShardNote, shard_note_name
from penstock.runtime.model import LoadedModel, load_model
from penstock.runtime.records import Piece, RecordReader
from penstock.serving.answers import Answers
from penstock.settings import load_task_variables
from penstock.store import blobs

__all__ = ["main", "predict_shards"]

_SHARD_BYTES = 32 * 1024 * 1024
_MOST_SHARDS = 99_999
_MOST_MESSAGES = 1_000
_PLAN_NAME = f"{STATE_FOLDER}/plan.json"
_TELL_EVERY_S = 5.0
_LOOK_EVERY_S = 0.2
_PLAN_WITHIN_S = 600.0
_FORMATS: dict[DataFormat, ShardFormat] = {"JSON": "lines", "TEXT": "lines", "CSV": "csv", "PARQUET": "parquet"}


class Plan(msgspec.Struct, frozen=True):
    """The shards of a prediction. digest: of the model, the input as it was found, and how it is read."""

    digest: str
    shards: list[Shard]


def main() -> int:
    """Does this process's share; exit status 1 when that cannot be done."""
    prediction = msgspec.json.decode(sys.argv[1], type=PredictionInput)
    task = load_task_variables()
    try:
        predict_shards(prediction, rank=task.rank, size=task.size)
    except PenstockError as error:
        print(f"ERROR: {error}", file=sys.stderr, flush=True)  # noqa: T201 - a job's log is what its processes print
        return 1
    return 0


def predict_shards(
    prediction: PredictionInput, *, rank: int = 0, size: int = 1, shard_bytes: int = _SHARD_BYTES
) -> None:
    """Predicts every `size`th shard from the `rank`th; rank 0 plans first, and last waits for all.

    Raises what keeps the whole from being done; records that do not fit only count.
    """
    model = load_model(prediction.uri)
    files = find_input_files(prediction.input_paths)
    digest = _digest(prediction, model, files)
    plan = _make_plan(prediction, files, digest, shard_bytes) if rank == 0 else _await_plan(prediction, digest)
    progress = _Progress(plan)
    reader = RecordReader(
        model, keys=prediction.keys, block_rows=prediction.batch_size, is_text=prediction.data_format == "TEXT"
    )
    for index in range(rank, len(plan.shards), size):
        if _note(prediction, plan, index) is None:
            _Shard(prediction, plan, index, model, progress).predict(reader)
        progress.finished(index)
    if rank == 0:
        _await_all(prediction, plan)


class _Progress:
    """Tells now and then how far this process is."""

    def __init__(self, plan: Plan) -> None:
        self._shards = len(plan.shards)
        self._rows = 0
        self._started = self._told = time.monotonic()

    def add(self, index: int, rows: int) -> None:
        self._rows += rows
        if time.monotonic() - self._told > _TELL_EVERY_S:
            self._tell(f"at shard {index + 1}")

    def finished(self, index: int) -> None:
        self._tell(f"finished shard {index + 1}")

    def _tell(self, where: str) -> None:
        self._told = time.monotonic()
        rate = self._rows / max(self._told - self._started, 1e-9)
        _say(f"{where} of {self._shards:,}: {self._rows:,} instances here, {rate:,.0f} a second")


class _Shard:
    """The results and errors of one shard on their way into files."""

    def __init__(
        self, prediction: PredictionInput, plan: Plan, index: int, model: LoadedModel, progress: _Progress
    ) -> None:
        self._prediction = prediction
        self._plan = plan
        self._index = index
        self._model = model
        self._progress = progress
        self._predicted = 0
        self._errors: Counter[str] = Counter()

    def predict(self, reader: RecordReader) -> None:
        started = time.monotonic()
        last = f"{self._index:05}-of-{len(self._plan.shards):05}"
        with _written(self._prediction.output_path, f"prediction.results-{last}") as results:
            for block in reader.blocks(self._plan.shards[self._index]):
                for message in block.refused:
                    self._refuse(message)
                for piece in block.pieces:
                    self._write(piece, results)
                self._progress.add(self._index, len(block.refused) + sum(piece.batch.rows for piece in block.pieces))
        with _written(self._prediction.output_path, f"prediction.errors_stats-{last}") as errors:
            for message, count in self._errors.most_common():
                errors.write(orjson.dumps({"error": message, "count": count}) + b"\n")
        note = ShardNote(
            plan=self._plan.digest,
            prediction_count=self._predicted,
            error_count=self._errors.total(),
            seconds=round(time.monotonic() - started, 3),
        )
        blobs.write_bytes(self._prediction.output_path, shard_note_name(self._index), msgspec.json.encode(note))

    def _write(self, piece: Piece, results: IO[bytes]) -> None:
        try:
            lines = Answers(self._model.predict(piece.batch)).lines()
        except PenstockError as error:
            if piece.batch.rows == 1:
                self._refuse(str(error))
                return
            half = piece.batch.rows // 2
            for part in (slice(0, half), slice(half, piece.batch.rows)):
                self._write(Piece(piece.batch.take(part), piece.keys and piece.keys[part]), results)
            return
        if piece.keys is not None:
            lines = [_with_keys(keys, line) for keys, line in zip(piece.keys, lines, strict=True)]
        results.write(b"\n".join(lines) + b"\n")
        self._predicted += len(lines)

    def _refuse(self, message: str) -> None:
        """Counts a message; of very many different ones, the later are counted together."""
        self._errors[message if len(self._errors) < _MOST_MESSAGES or message in self._errors else "other errors"] += 1


def _make_plan(prediction: PredictionInput, files: Sequence[InputFile], digest: str, shard_bytes: int) -> Plan:
    """The plan that lies there, if it is this one; else a new one, where nothing else lies."""
    found = _read_plan(prediction)
    if found is not None and found.digest == digest:
        done = sum(_note(prediction, found, index) is not None for index in range(len(found.shards)))
        if done:
            _say(f"{done:,} of {len(found.shards):,} shards are finished already")
        return found
    if found is not None or _has_results(prediction.output_path):
        raise UsageError(
            f"--output-path {prediction.output_path} holds the results of another prediction, or of input that has "
            "changed since; choose another one, or delete it"
        )
    kind = _FORMATS[prediction.data_format]
    total = sum(file.size_bytes for file in files)
    per_worker = total // max(4 * prediction.max_worker_count, 1)
    size = max(min(shard_bytes, max(per_worker, 1 << 20)), total // _MOST_SHARDS)
    plan = Plan(digest, cut_into_shards(files, kind=kind, shard_bytes=size))
    _say(f"{len(files):,} files, {total / 1e6:,.1f} MB, in {len(plan.shards):,} shards")
    blobs.write_bytes(prediction.output_path, _PLAN_NAME, msgspec.json.encode(plan))
    return plan


def _read_plan(prediction: PredictionInput) -> Plan | None:
    try:
        return msgspec.json.decode(blobs.read_bytes(prediction.output_path, _PLAN_NAME), type=Plan)
    except NotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise StoreError(f"{blobs.join(prediction.output_path, _PLAN_NAME)} is no plan: {error}") from error


def _has_results(output_path: str) -> bool:
    try:
        names = blobs.list_files(output_path)
    except NotFoundError:
        return False
    return any(name.startswith("prediction.") for name in names)


def _await_plan(prediction: PredictionInput, digest: str) -> Plan:
    until = time.monotonic() + _PLAN_WITHIN_S
    while time.monotonic() < until:
        plan = _read_plan(prediction)
        if plan is not None and plan.digest == digest:
            return plan
        time.sleep(_LOOK_EVERY_S)
    raise StoreError(f"no plan appeared in {prediction.output_path}; the workers must share it with the master")


def _await_all(prediction: PredictionInput, plan: Plan) -> None:
    """Until the others are done; that one of them has ended badly is noticed by whoever runs the job."""
    notes: list[ShardNote] = []
    for index in range(len(plan.shards)):
        while (note := _note(prediction, plan, index)) is None:
            time.sleep(_LOOK_EVERY_S)
        notes.append(note)
    predicted, errors = sum(note.prediction_count for note in notes), sum(note.error_count for note in notes)
    _say(f"{predicted:,} predictions, {errors:,} errors, in {prediction.output_path}")


def _note(prediction: PredictionInput, plan: Plan, index: int) -> ShardNote | None:
    """Of a shard of this plan, if it is finished."""
    try:
        note = msgspec.json.decode(blobs.read_bytes(prediction.output_path, shard_note_name(index)), type=ShardNote)
    except (NotFoundError, msgspec.MsgspecError):
        return None
    return note if note.plan == plan.digest else None


def _digest(prediction: PredictionInput, model: LoadedModel, files: Sequence[InputFile]) -> str:
    parts: list[Any] = [
        sorted(model.manifest.files.items()),
        [msgspec.to_builtins(file) for file in files],
        *(prediction.data_format, prediction.keys),
    ]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _with_keys(keys: dict[str, Any], line: bytes) -> bytes:
    return orjson.dumps(keys, default=str)[:-1] + b"," + line[1:]


@contextmanager
def _written(folder: str, name: str) -> Generator[IO[bytes]]:
    """A file that is there once it is whole."""
    uri = blobs.join(folder, name)
    try:
        if blobs.is_local(uri):
            path = blobs.local_path(uri)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
            try:
                with partial.open("wb") as file:
                    yield file
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        else:
            system, place = blobs.file_system(uri)
            system.makedirs(place.rpartition("/")[0], exist_ok=True)
            with system.open(place, "wb") as file:
                yield file
    except OSError as error:
        raise StoreError(f"cannot write {uri}: {error.strerror or error}") from error


def _say(message: str) -> None:
    print(message, flush=True)  # noqa: T201 - a job's log is what its processes print


if __name__ == "__main__":
    sys.exit(main())
