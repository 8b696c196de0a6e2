"""OpenAPI documents: `/openapi/MODEL.json`, `/openapi/MODEL/versions/V.json`, and `/openapi.json` of an only model."""

import re

import orjson

from penstock.serving.exchange import Exchange
from penstock.serving.lanes import Lane
from penstock.serving.predicting import OnVersion
from penstock.serving.refusals import Code, Refusal
from penstock.serving.router import Handler, refuse_flat
from penstock.serving.service import Service

__all__ = ["Documents"]

_PATH = re.compile(r"/openapi/(?P<model>[^/]+?)(?:/versions/(?P<version>[^/]+?))?\.json")

_ONLY = "/openapi.json"


class Documents:
    """Owns `/openapi/` and `/openapi.json`."""

    name = "openapi"

    def __init__(self, service: Service, *, has_token: bool) -> None:
        self._service = service
        self._has_token = has_token

    def owns(self, path: str) -> bool:
        return path.startswith("/openapi/") or path == _ONLY

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        refuse_flat(exchange, refusal)

    def route(self, method: str, path: str) -> Handler:
        found = _PATH.fullmatch(path)
        if found is None and path != _ONLY:
            raise Refusal(Code.NOT_FOUND, f"there is no {path} here; documents are at /openapi/MODEL.json")
        if method not in ("GET", "HEAD"):
            raise Refusal(Code.METHOD_NOT_ALLOWED, f"{path} is asked with GET, not {method}")
        target = self._service.find(found["model"], found["version"]) if found else self._service.find_only()
        return OnVersion(self._service, self, target, do=self._tell)

    def _tell(self, lane: Lane, exchange: Exchange) -> None:
        from penstock.serving.openapi import describe  # most servers start without being asked for it

        document = describe(
            lane.model.manifest,
            model=lane.model_name,
            version=lane.version.number,
            project=self._service.project,
            samples=lane.model.samples,
            has_token=self._has_token,
        )
        exchange.respond(200, orjson.dumps(document, option=orjson.OPT_INDENT_2))
