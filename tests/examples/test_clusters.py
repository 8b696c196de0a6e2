"""The launcher files, read by Ray itself: by its schema, its defaults, and its autoscaler's eyes for KubeRay."""

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.jobs.machines import BUILT_IN, replicas_of
from penstock.jobs.training_input import TrainingInput

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "clusters"
PLACES = ("aws", "gcp", "kuberay")


def machine_types(place: str) -> dict[str, Any]:
    """What Ray's autoscaler may start there. Ray raises for a file that is not to its schema."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
    from ray.autoscaler._private.util import prepare_config, validate_config

    content = yaml.safe_load((FOLDER / f"{place}.yaml").read_text())
    if place == "kuberay":
        read = _derive_autoscaling_config_from_ray_cr(content)
    else:
        read = prepare_config(content)
        validate_config(read)
    return {name: one for name, one in read["available_node_types"].items() if name != read["head_node_type"]}


@pytest.mark.parametrize("place", PLACES)
def test_ray_reads_the_file_and_its_machines_come_and_go_and_hold_the_tiers(place: str) -> None:
    types = machine_types(place)
    assert all(one["min_workers"] == 0 for one in types.values()), "idle machines go"
    wanted = replicas_of(TrainingInput(scale_tier="STANDARD_1"), BUILT_IN)
    cores = types["cores"]
    assert max(one.machine.cpus for one in wanted) <= cores["resources"]["CPU"], "each replica finds a machine"
    assert sum(one.machine.cpus for one in wanted) <= cores["resources"]["CPU"] * cores["max_workers"]
    if "gpu" in types:
        (wanted_gpu,) = replicas_of(TrainingInput(scale_tier="BASIC_GPU"), BUILT_IN)
        assert types["gpu"]["resources"]["GPU"] >= wanted_gpu.machine.gpus
        assert types["gpu"]["resources"]["CPU"] >= wanted_gpu.machine.cpus


@pytest.mark.parametrize("place", PLACES)
def test_its_images_hold_the_ray_that_penstock_is_tested_with_and_it_asks_for_a_token(place: str) -> None:
    text = (FOLDER / f"{place}.yaml").read_text()
    assert set(re.findall(r"ray(?:-ray)?:(\d+\.\d+\.\d+)", text)) == {version("ray")}
    content = yaml.safe_load(text)
    if place == "kuberay":
        assert content["spec"]["rayVersion"] == version("ray")
        assert content["spec"]["authOptions"] == {"mode": "token"}
        return
    starts = [
        one for one in content["head_start_ray_commands"] + content["worker_start_ray_commands"] if "start" in one
    ]
    assert len(starts) == 2
    assert all(one.startswith("RAY_AUTH_MODE=token ") for one in starts)
    assert "~/.ray/auth_token" in content["file_mounts"]
    assert not any("dashboard-host" in one for one in starts), "the job server stays on loopback, behind ray dashboard"
