"""`:explain`: attributions of a prediction to the columns, in ML Engine's shape, beside the main loop and bounded."""

import logging
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING

import msgspec
import orjson

from penstock.data.columns import ColumnBatch
from penstock.errors import PenstockError
from penstock.runtime.values import shorten
from penstock.serving.compression import unpacked_body
from penstock.serving.exchange import Exchange
from penstock.serving.lanes import Lane
from penstock.serving.limits import Limits
from penstock.serving.predicting import check_signature_name, list_under, read_object
from penstock.serving.refusals import Code, Refusal, refusal_of
from penstock.serving.router import WireProtocol

if TYPE_CHECKING:
    from penstock.runtime.explanation import Explainer, Explanation

__all__ = ["Explaining"]

_PATHS = 10
_MOST_ROWS = 2_000_000
_WAITING = 16
_LOADED = 20
_log = logging.getLogger(__name__)


class Explaining:
    """Explains in one thread of its own, so that predictions go on; a few requests may wait for it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool: ThreadPoolExecutor | None = None
        self._waiting = 0
        self._explainers: OrderedDict[int, Explainer] = OrderedDict()

    def ask(self, lane: Lane, exchange: Exchange, protocol: WireProtocol) -> None:
        """Has the instances of a body explained. In the main loop's thread. Raises Refusal or InstanceError.

        Beside `instances`, `parameters.num_paths` says how many random orders of the columns are tried for each.
        """
        request = read_object(unpacked_body(exchange, limit_bytes=lane.limits.body_bytes))
        check_signature_name(request)
        paths = _paths(request.get("parameters"), default=lane.version.explanation_paths or _PATHS)
        instances = list_under("instances", request, missing="Missing 'instances' key")
        lane.check_count(len(instances))
        batch = lane.model.decode(instances)
        rows = batch.rows * paths * (len(lane.model.decoder.schema) + 1)
        if rows > _MOST_ROWS:
            raise Refusal(
                Code.INVALID_ARGUMENT,
                f"{batch.rows:,} instances with {paths:,} paths each would take {rows:,} predictions; at most "
                f"{_MOST_ROWS:,} are made for one request: send fewer instances, or a smaller parameters.num_paths",
            )
        if self._waiting >= _WAITING:
            raise Refusal(Code.RESOURCE_EXHAUSTED, f"{_WAITING} requests wait for explanations", retry_after_s=1)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="explain")
        exchange.model_name = lane.model_name
        exchange.version = lane.version
        exchange.rows = batch.rows
        self._waiting += 1
        self._pool.submit(self._answer, lane, exchange, protocol, batch, paths)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, lane: Lane, exchange: Exchange, protocol: WireProtocol, batch: ColumnBatch, paths: int) -> None:
        """In the explaining thread."""
        until = exchange.started + self._limits.deadline_s

        def check() -> None:
            if monotonic() > until:
                raise Refusal(
                    Code.DEADLINE_EXCEEDED,
                    f"the explanation took more than {self._limits.deadline_s:g} s; send fewer instances or paths",
                )

        try:
            check()
            found = self._explainer(lane).explain(batch, paths=paths, check=check)
            exchange.respond(200, orjson.dumps({"explanations": [_shaped(one) for one in found]}))
        except Exception as error:
            if not isinstance(error, Refusal | PenstockError):
                _log.exception("an explanation failed")
            protocol.refuse(exchange, refusal_of(error))
        finally:
            self._waiting -= 1

    def _explainer(self, lane: Lane) -> "Explainer":
        from penstock.runtime.explanation import load_explainer  # most servers are never asked to explain

        key = lane.version.id
        explainer = self._explainers.get(key)
        if explainer is None:
            explainer = self._explainers[key] = load_explainer(lane.version.bundle_uri)
            while len(self._explainers) > _LOADED:
                self._explainers.popitem(last=False)
        self._explainers.move_to_end(key)
        return explainer


def _paths(parameters: object, *, default: int) -> int:
    if parameters is None:
        return default
    if not isinstance(parameters, dict):
        raise Refusal(Code.INVALID_ARGUMENT, f"'parameters' is {shorten(parameters)}; expected an object")
    from penstock.registry.records import MOST_PATHS  # most servers are never asked to explain

    paths = parameters.get("num_paths", default)
    if type(paths) is not int or not 1 <= paths <= MOST_PATHS:
        raise Refusal(Code.INVALID_ARGUMENT, f"parameters.num_paths is {shorten(paths)}; expected 1 to {MOST_PATHS:,}")
    return paths


def _shaped(explanation: "Explanation") -> dict[str, object]:
    fields = {name: value for name, value in msgspec.structs.asdict(explanation).items() if value is not None}
    return {"attributions_by_label": [fields]}
