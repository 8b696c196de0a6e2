"""KServe's own client, from an environment of its own, against a server: both protocols, JSON and binary, and gRPC."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from benchmarks.peers import peer_python
from tests.runtime.bundles import linear_bundle
from tests.serving.servers import run_server

ASK = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

ROW = {"A": 1.0, "B": 2.0, "C": 3.0}

def request(binary):
    inputs = [InferInput(name, [1, 1], "FP64") for name in ROW]
    for one in inputs:
        one.set_data_from_numpy(np.array([[ROW[one.name]]]), binary_data=binary)
    return InferRequest(model_name="linear", infer_inputs=inputs)

def values(answer):
    return answer.outputs[0].as_numpy().ravel().tolist()

async def main(url, grpc_url):
    found = {}
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        found["live"] = await client.is_server_live(url)
        found["ready"] = await client.is_server_ready(url), await client.is_model_ready(url, "linear")
        for binary in (False, True):
            found[f"binary {binary}"] = values(await client.infer(url, request(binary), model_name="linear"))
        try:
            await client.infer(url, request(False), model_name="liner")
        except Exception as error:
            found["refused"] = str(error)
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        found["v1"] = await client.infer(url, {"instances": [ROW]}, model_name="linear")
    async with InferenceGRPCClient(grpc_url) as client:
        found["grpc"] = await client.is_model_ready("linear"), values(await client.infer(request(True)))
    print(json.dumps(found))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow  # KServe's package is 450 MB
@pytest.mark.timeout(600)
def test_kserves_client_is_answered_in_both_its_protocols_and_over_grpc(tmp_path: Path) -> None:
    python = peer_python("kserve", ["kserve==0.21.0"])
    if python is None:
        pytest.skip("kserve does not install here")
    words = ("--model-dir", linear_bundle(tmp_path / "b"), "--model-name", "linear", "--grpc-port", "0")
    with run_server(tmp_path, *words) as server:
        grpc = re.search(r"serving gRPC on (\S+)", server.log)
        assert grpc
        done = subprocess.run([python, "-c", ASK, server.url, grpc[1]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("refused").startswith("there is no model 'liner' in project local; did you mean 'linear'?")
    assert found == {
        "live": True,
        "ready": [True, True],
        "binary False": [321.0],
        "binary True": [321.0],
        "v1": {"predictions": [[321.0]]},
        "grpc": [True, [321.0]],
    }
