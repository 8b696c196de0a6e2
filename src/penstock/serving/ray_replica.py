"""A replica of Ray Serve that answers with this server's own core: the same protocols, batching, limits and tokens.

Ray starts it on its nodes (`penstock deploy`), where `build` is the application's import path. Requests come straight
to the replica's own port where Ray has HAProxy in front (see `ray_ingress`), else through Ray's proxies and the ASGI
application here. Ray's autoscaling and metrics stand in for those of the parent process.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from penstock.serving.ray_core import Message, ReplicaCore, ReplicaSettings
from penstock.settings import load_settings

__all__ = ["build"]


class Replica:
    """Ray makes one in each process, and hands its requests to the ASGI application beside it.

    Of the module, not of `build`: what Ray has to pickle by value would get globals of its own.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        from penstock.serving.ray_ingress import answer_direct_requests
        from penstock.serving.ray_meters import RayMeters
        from penstock.serving.registry_source import open_registry_source

        settings = msgspec.convert(told, ReplicaSettings)
        found = load_settings({"PENSTOCK_HOME": settings.home, **os.environ}, project=settings.project)
        source = open_registry_source(found, only=settings.model)
        core = ReplicaCore(settings, source, asyncio.get_running_loop(), meter=RayMeters().add)
        _cores[0] = core
        answer_direct_requests(core)


def build(arguments: dict[str, Any]) -> Any:
    """The application that Ray Serve runs. arguments: a ReplicaSettings as JSON has it."""
    from ray import serve

    deployment = serve.deployment(serve.ingress(_make_application)(Replica))
    return deployment.options(name="penstock").bind(arguments)


_cores: dict[int, ReplicaCore] = {}
"""The core of this process, which Ray's ASGI server finds only by name."""


def _make_application() -> Any:
    """Ray takes what makes an ASGI application, where that is a function."""
    return _application


async def _application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        for reply in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
            await receive()
            await send({"type": reply})
        return
    status, body, headers = await _cores[0].answer(scope, receive)
    plain = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
    plain.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": plain})
    await send({"type": "http.response.body", "body": body})
