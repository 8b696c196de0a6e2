"""The Docker context: what is in it, and that its steps make a server that answers."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest
from tests.docs.test_commands import free_port
from tests.runtime.bundles import linear_bundle

from penstock.errors import AlreadyExistsError, BundleError, UsageError
from penstock.export.own_wheel import own_wheel, serving_requirements
from penstock.flows.export_docker import export_docker

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_context_holds_all_that_the_image_is_made_of(tmp_path: Path) -> None:
    made = export_docker(linear_bundle(tmp_path / "bundle"), output=str(tmp_path / "image"), model_name="houses")
    assert {"Dockerfile", "requirements.txt", "bundle/bundle.json", "bundle/model.onnx"} < set(made.files)
    text = (tmp_path / "image/Dockerfile").read_text()
    lines = text.splitlines()
    assert lines.index("USER 10001") < next(i for i, line in enumerate(lines) if line.startswith("ENTRYPOINT"))
    for source in re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE):
        assert (tmp_path / "image" / source).exists()
    for command in re.findall(r"(?:^ENTRYPOINT|CMD) (\[.*)$", text, re.MULTILINE):
        assert all(isinstance(word, str) for word in json.loads(command))
    assert b"--hash=sha256" in (tmp_path / "image/requirements.txt").read_bytes()


def test_the_requirements_are_those_of_the_repository() -> None:
    assert serving_requirements() == (REPOSITORY / "requirements/serve.txt").read_bytes()


def test_a_damaged_bundle_a_bad_name_and_a_taken_place_are_refused(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    with pytest.raises(UsageError, match="model"):
        export_docker(bundle, output=str(tmp_path / "image"), model_name='x"; rm -rf /')
    (tmp_path / "image").mkdir()
    with pytest.raises(AlreadyExistsError):
        export_docker(bundle, output=str(tmp_path / "image"), model_name="houses")
    (tmp_path / "bundle/model.onnx").write_bytes(b"altered")
    with pytest.raises(BundleError, match="altered"):
        export_docker(bundle, output=str(tmp_path / "other"), model_name="houses")
    assert not (tmp_path / "other").exists()


def test_the_wheel_is_the_package_and_the_same_every_time(tmp_path: Path) -> None:
    name, content = own_wheel()
    assert own_wheel() == (name, content)
    (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / name) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert "penstock/cli/main.py" in names
    assert "penstock/export/serve.txt" in names
    assert not [one for one in names if "__pycache__" in one]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_steps_of_the_dockerfile_make_a_server_that_answers(tmp_path: Path) -> None:
    """Each RUN, the health check and the entry point, with their places moved from the image to a folder."""
    bundle = linear_bundle(tmp_path / "bundle")
    context = tmp_path / "image"
    export_docker(bundle, output=str(context), model_name="houses")
    port = free_port()
    text = (context / "Dockerfile").read_text()
    text = text.replace("/opt/penstock", str(tmp_path / "venv")).replace("8501", str(port))
    text = text.replace("/bundle", str(context / "bundle"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {"PATH": path, "HOME": str(tmp_path), "PENSTOCK_HOME": str(tmp_path / "state")}
    environ |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
    for step in re.findall(r"^RUN (.*)$", text, re.MULTILINE):
        if not step.startswith("useradd"):
            subprocess.run(shlex.split(step), cwd=context, env=environ, check=True, capture_output=True, timeout=600)
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[0])
    refused = subprocess.run(entry, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 2
    assert "PENSTOCK_SERVER_TOKEN" in refused.stderr
    environ["PENSTOCK_SERVER_TOKEN"] = "a secret of the test"
    probe = json.loads(re.findall(r"^HEALTHCHECK .*CMD (.*)$", text, re.MULTILINE)[0])
    with subprocess.Popen(entry, env=environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + 60
            while subprocess.run(probe, check=False, capture_output=True).returncode and time.monotonic() < until:
                time.sleep(0.2)
            url = f"http://127.0.0.1:{port}/v1/models/houses:predict"
            body = json.dumps({"instances": [{"A": 1, "B": 2, "C": 3}]}).encode()
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(urllib.request.Request(url, body))
            request = urllib.request.Request(url, body, {"Authorization": "Bearer a secret of the test"})
            with urllib.request.urlopen(request) as response:
                assert json.load(response) == {"predictions": [[321.0]]}
        finally:
            server.terminate()
            server.wait(timeout=20)
