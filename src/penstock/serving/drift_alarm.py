"""Tells a webhook when a column starts to drift, and when it no longer does."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from penstock.errors import UsageError
from penstock.serving.drift import VersionDrift

__all__ = ["DriftAlarm", "DriftOptions"]

_TIMEOUT_S = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DriftOptions:
    """What counts as drift. window_s: how far back is looked. threshold: of the population stability index.

    webhook: an http(s) URL that gets a POST when a column starts or stops drifting. Raises UsageError for another URL.
    """

    window_s: float = 3600.0
    threshold: float = 0.2
    webhook: str | None = None

    def __post_init__(self) -> None:
        if self.webhook is not None and not self.webhook.startswith(("http://", "https://")):
            raise UsageError(f"the drift webhook is {self.webhook!r}; expected an address that starts with http(s)://")


class DriftAlarm:
    """Posts `{"event": "drift_started"|"drift_ended", "model", "version", "column", "psi", "js", "rows"}`."""

    def __init__(self, webhook: str) -> None:
        self._webhook = webhook
        self._drifting: set[tuple[str, int, str]] = set()

    def look(self, versions: Sequence[VersionDrift]) -> None:
        """Compares with the last look; what has changed is posted by a thread of its own."""
        events = []
        for version in versions:
            for column in version.columns:
                key = (version.model, version.version, column.column)
                if column.is_drifting == (key in self._drifting):
                    continue
                self._drifting ^= {key}
                events.append(
                    {
                        "event": "drift_started" if column.is_drifting else "drift_ended",
                        "model": version.model,
                        "version": version.version,
                        "column": column.column,
                        "psi": column.psi,
                        "js": column.js,
                        "rows": version.rows,
                    }
                )
        if events:
            _log.warning("drift: %s", ", ".join(f"{event['column']} {event['event']}" for event in events))
            threading.Thread(target=self._post, args=(events,), name="drift webhook", daemon=True).start()

    def _post(self, events: list[dict[str, object]]) -> None:
        import urllib.request  # here, because every start of a server would pay for it

        for event in events:
            request = urllib.request.Request(  # noqa: S310 - its scheme was checked
                self._webhook,
                data=msgspec.json.encode(event),
                headers={"content-type": "application/json"},
                method="POST",
            )
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
                    pass
            except OSError as error:
                _log.warning("the drift webhook %s cannot be told: %s", self._webhook, error)
