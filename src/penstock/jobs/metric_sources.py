"""What a trial's trainer reported: the file that `cloudml-hypertune` writes, and the summaries of TensorBoard."""

import json
import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from penstock.store import blobs

__all__ = ["EventFiles", "HypertuneFile", "TrialReports", "summary_folders"]

_FRAME = struct.Struct("<QI")


class TrialReports:
    """Everything that one trial reports, in one rising order of steps: the last report is what counts."""

    def __init__(self, metric_file: Path, folders: Sequence[Path], tag: str) -> None:
        self._sources = (HypertuneFile(metric_file, tag), EventFiles(folders, tag))
        self._last_step = -1

    def new(self) -> list[tuple[int, float]]:
        """(step, value) of what came since the last call, each at a step above the last."""
        found = []
        for source in self._sources:
            for step, value in source.new():
                self._last_step = max(step, self._last_step + 1)
                found.append((self._last_step, value))
        return found


def summary_folders(trial: str, *, job_dir: str, arguments: Sequence[str]) -> list[str]:
    """Where a trial's summaries may be: its job dir, and the folder of its number in every folder that is named.

    Trainers of the time wrote to `--output_dir` joined with the trial of TF_CONFIG. job_dir: of the whole job.
    """
    named = [job_dir, *(word.partition("=")[2] or word for word in arguments)]
    local = [blobs.local_path(one) for one in named if one and not one.startswith("-") and blobs.is_local(one)]
    return [str(folder / trial) for folder in local]


class HypertuneFile:
    """The metric file of one trial. It is written anew with each report, its last hundred entries in it."""

    def __init__(self, path: Path, tag: str) -> None:
        self._path = path
        self._tag = tag
        self._seen: set[tuple[float, int]] = set()

    def new(self) -> list[tuple[int, float]]:
        """(step, value) of what came since the last call; a line that is half written waits for the next."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            try:
                entry = json.loads(line)
                step, moment = int(float(entry.get("global_step") or 0)), float(entry.get("timestamp") or 0)
                value = float(entry[self._tag])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            if (moment, step) not in self._seen:
                self._seen.add((moment, step))
                found.append((step, value))
        return found


class EventFiles:
    """The event files under the folders of one trial. Where evaluations have the tag, they alone count."""

    def __init__(self, folders: Sequence[Path], tag: str) -> None:
        self._folders = folders
        self._tag = tag
        self._offsets: dict[Path, int] = {}
        self._has_evaluations = False

    def new(self) -> list[tuple[int, float]]:
        """(step, value) of what came since the last call, in the order of their moments."""
        found = []
        for path in self._files():
            is_evaluation = any(part.startswith("eval") for part in path.parts[-3:-1])
            for moment, step, value in self._read(path):
                found.append((moment, step, value, is_evaluation))
        if any(entry[3] for entry in found):
            self._has_evaluations = True
        return [
            (step, value)
            for _, step, value, is_evaluation in sorted(found)
            if is_evaluation or not self._has_evaluations
        ]

    def _files(self) -> list[Path]:
        files = {path for folder in self._folders if folder.is_dir() for path in folder.rglob("*tfevents*")}
        return sorted(path for path in files if path.is_file())

    def _read(self, path: Path) -> Iterator[tuple[float, int, float]]:
        from tensorboard.compat.proto import event_pb2

        try:
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                content = file.read()
        except OSError:
            return
        begin = 0
        # TFRecord: length, its checksum, the event, its checksum. The last one may be half written.
        while begin + _FRAME.size <= len(content):
            length, _ = _FRAME.unpack_from(content, begin)
            end = begin + _FRAME.size + length + 4
            if end > len(content):
                break
            event = event_pb2.Event.FromString(content[begin + _FRAME.size : end - 4])
            begin = end
            for value in event.summary.value:
                if value.tag == self._tag and (number := _number(value)) is not None:
                    yield event.wall_time, int(event.step), number
        self._offsets[path] = self._offsets.get(path, 0) + begin


def _number(value: object) -> float | None:
    """A scalar as TensorFlow 1 wrote it, or as a tensor of TensorFlow 2."""
    if value.HasField("simple_value"):  # type: ignore[attr-defined]
        return float(value.simple_value)  # type: ignore[attr-defined]
    if not value.HasField("tensor"):  # type: ignore[attr-defined]
        return None
    from tensorboard.util.tensor_util import make_ndarray

    array = make_ndarray(value.tensor)  # type: ignore[attr-defined]
    return float(array.item()) if array.size == 1 and array.dtype.kind in "fiu" else math.nan
