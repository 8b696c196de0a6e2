"""Writes what `docker build` needs to make a slim image that serves one bundle."""

import json

from penstock.bundle.folder import copy_bundle, find_bundle
from penstock.export.exported import Exported
from penstock.export.own_wheel import own_wheel, serving_requirements
from penstock.registry.names import check_name
from penstock.runtime.model import load_model
from penstock.store import blobs
from penstock.store.staging import StagedFolder

__all__ = ["BUNDLE_PLACE", "IMAGE_PORT", "dockerfile", "export_docker"]

IMAGE_PORT = 8501
BUNDLE_PLACE = "/bundle"
USER_ID = 10001

_PYTHON = "/opt/penstock/bin/python"
_PROBE = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{IMAGE_PORT}/healthz', timeout=2)"


def export_docker(bundle_uri: str, *, output: str, model_name: str) -> Exported:
    """Writes the folder `output`: a Dockerfile, hashed requirements, Penstock as a wheel, and the bundle.

    The bundle is loaded once and its digests are checked. The image runs as a user without rights, and asks callers for
    the token in `PENSTOCK_SERVER_TOKEN`, without which it does not start.
    Raises as `load_model` and `copy_bundle` do, AlreadyExistsError where something is at `output`.
    """
    check_name(model_name, of="model")
    uri = find_bundle(bundle_uri)
    load_model(uri)
    wheel_name, wheel = own_wheel()
    place = blobs.absolute(output)
    with StagedFolder(place, last="Dockerfile") as staged:
        copy_bundle(uri, str(staged.path / "bundle"))
        (staged.path / "requirements.txt").write_bytes(serving_requirements())
        (staged.path / wheel_name).write_bytes(wheel)
        (staged.path / "Dockerfile").write_text(dockerfile(model_name, wheel_name), encoding="utf-8")
        files = tuple(blobs.list_files(str(staged.path)))
        staged.publish()
    image = model_name.lower()
    return Exported(
        target="docker",
        place=place,
        files=files,
        notes=(
            "the container asks callers for a token: it starts with PENSTOCK_SERVER_TOKEN set, at least 8 characters",
            f"docker run --read-only --tmpfs /tmp -e PENSTOCK_SERVER_TOKEN -p {IMAGE_PORT}:{IMAGE_PORT} {image}",
        ),
        next_command=f"docker build -t {image} {place}",
    )


def dockerfile(model_name: str, wheel_name: str) -> str:
    """The Dockerfile beside a wheel, `requirements.txt` and `bundle/`."""
    probe = json.dumps([_PYTHON, "-c", _PROBE])
    serve = ["serve", "--model-dir", BUNDLE_PLACE, "--model-name", model_name, "--host", "0.0.0.0"]  # noqa: S104
    entry = json.dumps(["/opt/penstock/bin/penstock", *serve, "--port", str(IMAGE_PORT)])
    return f"""\
# Serves the model {model_name}. Arguments of `docker run` go on to `penstock serve`, such as --workers 4.
FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /opt/penstock
COPY requirements.txt ./
RUN /opt/penstock/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt
COPY {wheel_name} ./
RUN /opt/penstock/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps ./{wheel_name}

FROM python:3.13-slim
RUN useradd --system --uid {USER_ID} --no-create-home penstock
COPY --from=build /opt/penstock /opt/penstock
COPY bundle {BUNDLE_PLACE}
ENV PENSTOCK_HOME=/tmp/penstock PYTHONUNBUFFERED=1
USER {USER_ID}
EXPOSE {IMAGE_PORT}
HEALTHCHECK --interval=30s --timeout=3s --start-period=15s CMD {probe}
ENTRYPOINT {entry}
"""
