import socket

import pytest

from penstock.errors import ServiceError, UsageError
from penstock.jobs.ray_address import check_address
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
