import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.errors import ServiceError, UsageError
from penstock.jobs.ray_address import check_address
from penstock.jobs.ray_archive import driver_command
from penstock.jobs.ray_client import RayJobs


def test_a_bare_address_is_http() -> None:
    assert check_address("10.0.0.1:8265") == "http://10.0.0.1:8265"
    assert check_address("https://ray.example/") == "https://ray.example"
    for wrong in ("ray://10.0.0.1:10001", "file:///etc/passwd", "http://", "not an address", "a:b", "[::1"):
        with pytest.raises(UsageError, match="job server"):
            check_address(wrong)


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(ServiceError, match="cannot be reached") as caught:
            RayJobs(address, token=None).version()
    assert caught.value.status is None


def test_the_driver_runs_with_the_interpreter_that_has_penstock_behind_a_tunnel_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("its own", "python"):
        (tmp_path / name).write_text(f'#!/bin/sh\n[ "$1" = -c ] || echo "{name}:" "$@"\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def ran(cluster: str, executable: Path) -> str:
        monkeypatch.setattr(sys, "executable", str(executable))
        return subprocess.run(["sh", "-c", driver_command(cluster)], capture_output=True, text=True, check=True).stdout

    assert ran("127.0.0.1:8265", tmp_path / "its own") == "its own: -m penstock.jobs.ray_driver\n"
    assert ran("localhost:8265", tmp_path / "of the laptop") == "python: -m penstock.jobs.ray_driver\n"
    assert ran("10.0.0.7:8265", tmp_path / "its own") == "python: -m penstock.jobs.ray_driver\n"
