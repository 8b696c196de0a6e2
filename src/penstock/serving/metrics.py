"""The sums of all workers' reports, in Prometheus' text format. A worker that is gone stays in the sums."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.serving.drift import VersionDrift
from penstock.serving.reports import BATCH_BOUNDS, LATENCY_BOUNDS_S, BatchCell, Report, RequestCell, ShadowCell

__all__ = ["Ledger"]

RequestKey = tuple[str, str, int, int]
VersionKey = tuple[str, int]


@dataclass
class Ledger:
    """Counters since the server started."""

    requests: dict[RequestKey, RequestCell] = field(default_factory=dict)
    batches: dict[VersionKey, BatchCell] = field(default_factory=dict)
    shadows: dict[tuple[str, int, str], ShadowCell] = field(default_factory=dict)
    workers_started: int = 0
    workers_lost: int = 0

    def add(self, report: Report) -> None:
        """Adds what a worker has reported."""
        for cell in report.requests:
            key = (cell.protocol, cell.model, cell.version, cell.status)
            total = self.requests.setdefault(key, RequestCell(*key, 0, 0, 0.0, [0] * len(cell.latencies)))
            total.requests += cell.requests
            total.instances += cell.instances
            total.seconds += cell.seconds
            total.latencies = [mine + theirs for mine, theirs in zip(total.latencies, cell.latencies, strict=True)]
        for batch in report.batches:
            version = (batch.model, batch.version)
            sums = self.batches.setdefault(version, BatchCell(*version, 0, 0, [0] * len(batch.sizes)))
            sums.calls += batch.calls
            sums.instances += batch.instances
            sums.sizes = [mine + theirs for mine, theirs in zip(sums.sizes, batch.sizes, strict=True)]

        for shadow in report.shadows:
            mirrored = (shadow.model, shadow.version, shadow.outcome)
            known = self.shadows.setdefault(mirrored, ShadowCell(*mirrored, 0, 0.0))
            known.requests += shadow.requests
            known.difference += shadow.difference

    def text(self, gauges: Mapping[str, tuple[str, float]], drift: Sequence[VersionDrift] = ()) -> str:
        """The exposition. gauges: name to what it is and its value now. drift: of every version."""
        return "\n".join([*self._lines(gauges), *_drift_lines(drift), ""])

    def _lines(self, gauges: Mapping[str, tuple[str, float]]) -> Iterator[str]:
        cells = list(self.requests.values())
        yield from _head("penstock_requests_total", "counter", "Requests answered.")
        for cell in cells:
            labels = _labels(protocol=cell.protocol, model=cell.model, version=cell.version, status=cell.status)
            yield f"penstock_requests_total{labels} {cell.requests}"
        yield from _head("penstock_instances_total", "counter", "Instances predicted.")
        for (protocol, model, version), some in _grouped(cells):
            if instances := sum(cell.instances for cell in some):
                labels = _labels(protocol=protocol, model=model, version=version)
                yield f"penstock_instances_total{labels} {instances}"
        yield from _head("penstock_request_seconds", "histogram", "From the headers of a request to its answer.")
        for (protocol, model, version), some in _grouped(cells):
            of_model = {"protocol": protocol, "model": model, "version": version}
            counts = [sum(column) for column in zip(*(cell.latencies for cell in some), strict=True)]
            yield from _histogram(
                "penstock_request_seconds", of_model, LATENCY_BOUNDS_S, counts, sum(cell.seconds for cell in some)
            )
        yield from _head("penstock_batch_instances", "histogram", "Instances run together in one call of a graph.")
        for (model, version), batch in self.batches.items():
            of_version = {"model": model, "version": version}
            yield from _histogram("penstock_batch_instances", of_version, BATCH_BOUNDS, batch.sizes, batch.instances)
        yield from _head("penstock_shadow_requests_total", "counter", "Requests mirrored to a version, by outcome.")
        for shadow in self.shadows.values():
            labels = _labels(model=shadow.model, version=shadow.version, outcome=shadow.outcome)
            yield f"penstock_shadow_requests_total{labels} {shadow.requests}"
        yield from _head("penstock_shadow_difference_total", "counter", "Sum of the largest relative differences.")
        for shadow in self.shadows.values():
            labels = _labels(model=shadow.model, version=shadow.version, outcome=shadow.outcome)
            yield f"penstock_shadow_difference_total{labels} {shadow.difference:.9g}"
        yield from _head("penstock_workers_started_total", "counter", "Worker processes started.")
        yield f"penstock_workers_started_total {self.workers_started}"
        yield from _head("penstock_workers_lost_total", "counter", "Worker processes that ended on their own.")
        yield f"penstock_workers_lost_total {self.workers_lost}"
        for name, (meaning, value) in gauges.items():
            yield from _head(name, "gauge", meaning)
            yield f"{name} {value:g}"


def _drift_lines(versions: Sequence[VersionDrift]) -> Iterator[str]:
    yield from _head("penstock_drift_psi", "gauge", "Population stability index of a column against its training data.")
    for version in versions:
        for column in version.columns:
            labels = _labels(model=version.model, version=version.version, column=column.column)
            yield f"penstock_drift_psi{labels} {column.psi:.6g}"
    yield from _head("penstock_drift_js", "gauge", "Jensen-Shannon divergence from the training data, in bits.")
    for version in versions:
        for column in version.columns:
            labels = _labels(model=version.model, version=version.version, column=column.column)
            yield f"penstock_drift_js{labels} {column.js:.6g}"


def _grouped(cells: Iterable[RequestCell]) -> Iterator[tuple[tuple[str, str, int], list[RequestCell]]]:
    """Cells that differ in the status only."""
    groups: dict[tuple[str, str, int], list[RequestCell]] = {}
    for cell in cells:
        groups.setdefault((cell.protocol, cell.model, cell.version), []).append(cell)
    yield from groups.items()


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"


def _histogram(
    name: str, labels: Mapping[str, object], bounds: Iterable[float], counts: list[int], total: float
) -> Iterator[str]:
    """Cumulative buckets, sum and count."""
    below = 0
    for bound, count in zip(bounds, counts[:-1], strict=True):
        below += count
        yield f"{name}_bucket{_labels(**labels, le=f'{bound:g}')} {below}"
    yield f"{name}_bucket{_labels(**labels, le='+Inf')} {sum(counts)}"
    yield f"{name}_sum{_labels(**labels)} {total:.9g}"
    yield f"{name}_count{_labels(**labels)} {sum(counts)}"


def _labels(**labels: object) -> str:
    """Labels that say something; a request without a model has no label for it."""
    told = {name: str(value) for name, value in labels.items() if value not in ("", 0)}
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in told.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
