import json
from pathlib import Path

import duckdb
import numpy as np
from tests.runtime.bundles import linear_bundle
from tests.serving.servers import penstock_fails, run_server


def test_sampled_requests_and_answers_are_rows_of_parquet_files(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    words = [
        "--model-dir",
        bundle,
        "--model-name",
        "linear",
        "--sample-rate",
        "1",
        "--sample-to",
        str(tmp_path / "kept"),
    ]
    with run_server(tmp_path, *words) as server:
        for number in range(5):
            assert server.predict("linear", {"A": number, "B": 0, "C": 0}).status_code == 200
        assert server.predict("linear", {"A": "wrong", "B": 0, "C": 0}).status_code == 400
        inputs = [
            {"name": name, "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}} for name in "ABC"
        ]
        head = json.dumps({"inputs": inputs}).encode()
        body = head + np.array([1.5, 2.5, -0.1]).tobytes()
        headers = {"inference-header-content-length": str(len(head))}
        assert server.client.post("/v2/models/linear/infer", content=body, headers=headers).status_code == 200
        assert server.stop() == 0
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT request, answer, request_form, instances, model, version, protocol, time > '2026-01-01' "
            f"FROM read_parquet('{tmp_path}/kept/**/*.parquet', hive_partitioning = true) ORDER BY time"
        ).fetchall()
    assert len(rows) == 6
    assert [json.loads(row[0])["instances"][0]["A"] for row in rows[:5]] == [0, 1, 2, 3, 4]
    assert json.loads(rows[3][1]) == {"predictions": [[3.0]]}
    assert rows[0][2:] == ("text", 1, "linear", 1, "tensorflow_serving", True)
    assert rows[5][2] == "base64"


def test_a_rate_without_a_folder_is_misuse(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    message = penstock_fails("serve", "--model-dir", bundle, "--model-name", "linear", "--sample-rate", "0.5")
    assert "--sample-to" in message
