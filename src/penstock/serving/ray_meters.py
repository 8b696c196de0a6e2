"""What a replica answers, as metrics of Ray's: on each node's metrics port, the replicas told apart by Ray's tags."""

from ray.util.metrics import Counter, Gauge

from penstock.serving.drift import VersionDrift
from penstock.serving.reports import Report

__all__ = ["RayMeters"]

_OF_VERSION = ("protocol", "model", "version")


class RayMeters:
    """Counters that Ray exports with the prefix `ray_`."""

    def __init__(self) -> None:
        self._requests = Counter("penstock_requests", "Requests answered.", (*_OF_VERSION, "status"))
        self._seconds = Counter("penstock_request_seconds", "Seconds of all answers together.", _OF_VERSION)
        self._instances = Counter("penstock_instances", "Instances predicted.", _OF_VERSION)
        self._psi = Gauge("penstock_drift_psi", "Population stability index.", ("model", "version", "column"))
        self._js = Gauge("penstock_drift_js", "Jensen-Shannon divergence in bits.", ("model", "version", "column"))

    def add(self, report: Report, drift: list[VersionDrift]) -> None:
        """Counts what was answered since the last call."""
        for cell in report.requests:
            tags = {"protocol": cell.protocol, "model": cell.model, "version": str(cell.version)}
            self._requests.inc(cell.requests, {**tags, "status": str(cell.status)})
            if cell.seconds > 0:
                self._seconds.inc(cell.seconds, tags)
            if cell.instances:
                self._instances.inc(cell.instances, tags)
        for version in drift if report.sketches else ():
            for column in version.columns:
                tags = {"model": version.model, "version": str(version.version), "column": column.column}
                self._psi.set(column.psi, tags)
                self._js.set(column.js, tags)
