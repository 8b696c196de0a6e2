"""What a worker tells its parent about the requests it answered since it last did."""

import msgspec

__all__ = [
    "BATCH_BOUNDS",
    "LATENCY_BOUNDS_S",
    "BatchCell",
    "ColumnSketch",
    "Load",
    "Report",
    "RequestCell",
    "ShadowCell",
    "SketchCell",
]

LATENCY_BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class RequestCell(msgspec.Struct, array_like=True):
    """Requests of one kind. version: 0 where no version was involved. latencies: counts by `LATENCY_BOUNDS_S`."""

    protocol: str
    model: str
    version: int
    status: int
    requests: int
    instances: int
    seconds: float
    latencies: list[int]


class BatchCell(msgspec.Struct, array_like=True):
    """Calls of one version's graph. sizes: counts by `BATCH_BOUNDS`."""

    model: str
    version: int
    calls: int
    instances: int
    sizes: list[int]


class ShadowCell(msgspec.Struct, array_like=True):
    """Requests mirrored to a version. outcome: see `Mirror`. difference: sum of the largest relative differences."""

    model: str
    version: int
    outcome: str
    requests: int
    difference: float


class ColumnSketch(msgspec.Struct, array_like=True):
    """Values of one column by bin. shares: of the training rows; counts: of what was seen; missing values are last."""

    name: str
    shares: list[float]
    counts: list[int]


class SketchCell(msgspec.Struct, array_like=True):
    """What one version was asked about."""

    model: str
    version: int
    columns: list[ColumnSketch]


class Load(msgspec.Struct, array_like=True):
    """How hard a worker works, over the time of the report.

    busy: share of the time in which its main loop was not waiting.
    requests: answered, probes left out. in_flight: taken in and not yet answered, now.
    slow: share of the answered requests that took longer than the latency target.
    """

    busy: float
    requests: int
    in_flight: int
    slow: float
    loaded_versions: int


class Report(msgspec.Struct, tag=True):
    """Everything since the last report."""

    load: Load
    requests: list[RequestCell]
    batches: list[BatchCell]
    shadows: list[ShadowCell] = []
    sketches: list[SketchCell] = []
