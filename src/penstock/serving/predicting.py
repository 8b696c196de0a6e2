"""What every protocol's predict handler does: load the version, read the request, queue it, answer or refuse."""

import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import accumulate

import msgspec

from penstock.runtime.rows import NotPlain
from penstock.runtime.values import shorten
from penstock.serving.catalog import ServedVersion
from penstock.serving.compression import unpacked_body
from penstock.serving.exchange import Exchange
from penstock.serving.json_reader import read_json
from penstock.serving.lanes import Ask, Lane, Respond
from penstock.serving.refusals import Code, Refusal, refusal_of
from penstock.serving.router import WireProtocol
from penstock.serving.service import Service, Target
from penstock.serving.shadow import Mirror, ShadowExchange

__all__ = [
    "SIGNATURE_NAME",
    "OnVersion",
    "ask_to_predict",
    "check_signature_name",
    "handler_of",
    "list_under",
    "read_object",
]

SIGNATURE_NAME = "serving_default"

OnLane = Callable[[Lane, Exchange], None]
"""Has an exchange answered by a loaded version. May raise whatever `refusal_of` knows."""


class OnVersion:
    """A handler that calls `do` with its version loaded. What that raises is refused in the protocol's shape."""

    is_lasting = True

    def __init__(self, service: Service, protocol: WireProtocol, target: Target, *, do: OnLane) -> None:
        self._service = service
        self._protocol = protocol
        self._model_name = target.model.name
        self._version = target.version
        self._do = do

    def __call__(self, exchange: Exchange) -> None:
        self._answer(exchange, self._version)

    def _answer(self, exchange: Exchange, version: ServedVersion) -> None:
        exchange.protocol = self._protocol.name
        lane = self._service.lane(version)
        if lane is not None:
            self._do(lane, exchange)
        else:
            self._service.with_lane(self._model_name, version, partial(self._loaded, exchange))

    def _loaded(self, exchange: Exchange, lane: Lane | Refusal) -> None:
        if isinstance(lane, Lane):
            try:
                self._do(lane, exchange)
            except Exception as error:
                self._protocol.refuse(exchange, refusal_of(error))
        elif exchange.is_second_try:
            self._protocol.refuse(exchange, lane)
        else:
            # The version may just have been deleted, and another be the default by now.
            exchange.is_second_try = True
            self._service.after_refresh(partial(self._try_again, exchange))

    def _try_again(self, exchange: Exchange) -> None:
        try:
            self._protocol.route(exchange.method, exchange.path)(exchange)
        except Exception as error:
            self._protocol.refuse(exchange, refusal_of(error))


class OnTraffic(OnVersion):
    """For requests that name no version: splits them between versions by weight, and mirrors a share to a shadow."""

    def __init__(self, service: Service, protocol: WireProtocol, target: Target, *, do: OnLane) -> None:
        super().__init__(service, protocol, target, do=do)
        by_number = {version.number: version for version in target.model.versions}
        traffic = target.model.traffic or ((target.version.number, 1.0),)
        self._choices = [by_number[number] for number, _ in traffic]
        self._bounds = list(accumulate(weight for _, weight in traffic))
        number, self._share = target.model.shadow or (0, 0.0)
        self._shadow = by_number.get(number)
        self._chance = random.random

    def __call__(self, exchange: Exchange) -> None:
        version = self._choices[bisect_right(self._bounds, self._chance() * self._bounds[-1], hi=len(self._bounds) - 1)]
        if self._shadow is None or self._shadow is version or self._chance() >= self._share:
            self._answer(exchange, version)
            return
        mirror = Mirror(self._model_name, self._shadow, self._service.compared)
        exchange.mirror = mirror
        copy = ShadowExchange(exchange, mirror)
        try:
            self._answer(exchange, version)
        finally:
            self._ask_shadow(copy, self._shadow)

    def _ask_shadow(self, copy: ShadowExchange, shadow: ServedVersion) -> None:
        try:
            self._answer(copy, shadow)
        except Exception as error:
            self._protocol.refuse(copy, refusal_of(error))


def handler_of(
    service: Service, protocol: WireProtocol, target: Target, *, do: OnLane, mirrors: bool = True
) -> OnVersion:
    """A handler for requests that ask for predictions: of the version they name, or by the model's traffic.

    mirrors: whether copies go to the model's shadow, which takes answers that can be compared as JSON.
    """
    if not mirrors:
        target = replace(target, model=msgspec.structs.replace(target.model, shadow=None))
    has_traffic = not target.is_named and (target.model.traffic or target.model.shadow)
    return (OnTraffic if has_traffic else OnVersion)(service, protocol, target, do=do)


def ask_to_predict(
    lane: Lane, exchange: Exchange, protocol: WireProtocol, *, rows: Respond, columns: Respond | None = None
) -> None:
    """Queues what is under `instances`, or under `inputs` where the protocol knows the column form.

    rows, columns: how to answer each form. Raises Refusal or InstanceError.
    """
    try:
        plain = lane.model.rows.read(exchange.body)
    except NotPlain:
        request = read_object(unpacked_body(exchange, limit_bytes=lane.limits.body_bytes))
        check_signature_name(request)
        if columns is not None and "inputs" in request:
            if "instances" in request:
                raise Refusal(Code.INVALID_ARGUMENT, "Not supporting both 'instances' and 'inputs' keys") from None
            lane.check_count(_longest(request["inputs"]))
            respond, batch = columns, lane.model.decode_columns(request["inputs"])
        else:
            wanted = "'instances'" if columns is None else "'inputs' or 'instances'"
            instances = list_under("instances", request, missing=f"Missing {wanted} key")
            lane.check_count(len(instances))
            respond, batch = rows, lane.model.decode(instances)
        lane.ask(Ask(exchange, respond=respond, refuse=protocol.refuse, batch=batch))
    else:
        lane.ask(Ask(exchange, respond=rows, refuse=protocol.refuse, rows=plain))


def _longest(inputs: object) -> int:
    """Rows of a request in columns."""
    columns = inputs.values() if isinstance(inputs, dict) else [inputs]
    return max((len(column) for column in columns if isinstance(column, list)), default=0)


def list_under(key: str, request: dict[str, object], *, missing: str) -> list[object]:
    """The list under this key. Raises Refusal, with the message `missing` when there is no such key."""
    if key not in request:
        raise Refusal(Code.INVALID_ARGUMENT, missing)
    values = request[key]
    if not isinstance(values, list):
        raise Refusal(Code.INVALID_ARGUMENT, f"'{key}' is {shorten(values)}; expected a list of one value a row")
    return values


def check_signature_name(request: dict[str, object]) -> None:
    """Raises Refusal when the request names a signature; every model has the one."""
    name = request.get("signature_name")
    if name not in (None, "", SIGNATURE_NAME):
        told = name if isinstance(name, str) else shorten(name)
        raise Refusal(Code.INVALID_ARGUMENT, f'Serving signature name: "{told}" not found in signature def')


def read_object(body: bytes) -> dict[str, object]:
    """The JSON object in a body. Raises Refusal."""
    request = read_json(body)
    if not isinstance(request, dict):
        raise Refusal(Code.INVALID_ARGUMENT, f"the body is {shorten(request)}; expected a JSON object")
    return request
