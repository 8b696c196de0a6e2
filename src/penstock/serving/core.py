"""All of a process that answers, but for how requests come to it: service, protocols, access, books.

Carriers (Granian's gateway, gRPC, Ray's proxies) bring exchanges to the main loop, which hands each turn's to `turn`.
"""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from penstock.serving.access import Access
from penstock.serving.access_log import AccessLog
from penstock.serving.books import Books
from penstock.serving.control import Configure, SampleOptions, Topic
from penstock.serving.cors import Cors
from penstock.serving.documents import Documents
from penstock.serving.exchange import Exchange
from penstock.serving.explaining import Explaining
from penstock.serving.gateway import Gateway
from penstock.serving.health import Health
from penstock.serving.hosts import Hosts
from penstock.serving.ml_engine import MLEngine
from penstock.serving.mlflow import MLflow
from penstock.serving.monitoring import Monitoring
from penstock.serving.open_inference import OpenInference
from penstock.serving.refusals import Refusal
from penstock.serving.reports import Report
from penstock.serving.router import Router
from penstock.serving.service import Service
from penstock.serving.tf_serving import TensorFlowServing
from penstock.serving.vertex import VertexContainer

if TYPE_CHECKING:
    from penstock.serving.sampling import Sampler

__all__ = ["Core"]


class Core:
    """For the main loop's thread, but for `admit`."""

    def __init__(
        self,
        settings: Configure,
        *,
        post: Callable[[Callable[[], None]], None],
        refresh: Callable[[], None],
        want: Callable[[Topic], None],
    ) -> None:
        """post: has a call run in the main loop's thread. refresh: asks for the catalog; `service.update` gets it.

        want: asks for what all workers reported; `monitoring.tell` gets it.
        """
        self._settings = settings
        self._books = Books(latency_target_s=settings.latency_target_s)
        self.service = Service(
            settings.limits, post=post, refresh=refresh, ran=self._books.batch, compared=self._books.compared
        )
        self.monitoring = Monitoring(self.service, want=want)
        self.access = Access(settings.grants)
        self._explaining = Explaining(settings.limits)
        self._hosts = Hosts(settings.host_names)
        self._cors = Cors(settings.cors_origins)
        self._log = AccessLog(sys.stderr.fileno(), rate=settings.access_log_rate)
        self._sampler = _sampler(settings.samples) if settings.samples else None
        vertex = VertexContainer(self.service, predict_route=settings.predict_route, health_route=settings.health_route)
        protocols = (
            vertex,
            MLEngine(self.service, self._explaining),
            TensorFlowServing(self.service, self._explaining),
            OpenInference(self.service),
            MLflow(self.service),
            Documents(self.service, has_token=settings.grants is not None),
            self.monitoring,
            Health(),
        )
        self._router = Router(self.service, protocols, self._cors)

    def gateway(self, *, arrived: Callable[[Exchange], None], admit: Callable[[Exchange], Refusal | None]) -> Gateway:
        """A gateway with the limits and certificate of the settings; see there."""
        limits = self._settings.limits
        return Gateway(
            arrived=arrived,
            admit=admit,
            body_limit_bytes=limits.body_bytes,
            bodies_limit_bytes=limits.bodies_bytes,
            body_timeout_s=limits.body_timeout_s,
            cors=self._cors.headers if self._cors.is_on else None,
            tls=(self._settings.tls_certificate, self._settings.tls_key),
        )

    def admit(self, exchange: Exchange) -> Refusal | None:
        """Why a request is not taken, or None. Any thread may ask."""
        return self._hosts.admit(exchange) or self.access.admit(exchange)

    def turn(self, exchanges: Sequence[Exchange]) -> None:
        """Has these exchanges answered, and whatever else waits."""
        dispatch = self._router.dispatch
        for exchange in exchanges:
            dispatch(exchange)
        self.service.flush()

    def keep_books(self, answered: Sequence[Exchange]) -> None:
        """Counts, logs and samples answered exchanges."""
        self._books.record(answered)
        self._log.record(answered)
        if self._sampler is not None:
            self._sampler.record(answered)

    def heartbeat(self) -> None:
        self.service.heartbeat()
        if self._sampler is not None:
            self._sampler.heartbeat()

    def report(self, *, busy: float, in_flight: int) -> Report:
        """Everything since the last report. busy: share of the time in which the main loop worked."""
        return self._books.close(
            busy=busy,
            in_flight=in_flight,
            loaded_versions=self.service.loaded_versions,
            sketches=self.service.sketches(),
        )

    def close(self) -> None:
        self.service.close()
        self._explaining.close()
        if self._sampler is not None:
            self._sampler.close()


def _sampler(options: SampleOptions) -> "Sampler":
    from penstock.serving.sampling import Sampler  # most servers keep no samples

    return Sampler(options)
