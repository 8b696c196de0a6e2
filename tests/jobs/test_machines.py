from collections import Counter
from pathlib import Path

import pytest

from penstock.errors import ConfigError, PreconditionError, UsageError
from penstock.jobs.machines import BUILT_IN, check_here, load_machines, machine_named, replicas_of
from penstock.jobs.training_input import AcceleratorConfig, ReplicaConfig, TrainingInput


def roles(training: TrainingInput) -> Counter[str]:
    return Counter(replica.role for replica in replicas_of(training, BUILT_IN))


def test_tiers_ask_for_the_replicas_that_ml_engine_documented() -> None:
    assert roles(TrainingInput()) == {"master": 1}
    assert roles(TrainingInput(scale_tier="STANDARD_1")) == {"master": 1, "worker": 4, "ps": 3}
    assert roles(TrainingInput(scale_tier="PREMIUM_1")) == {"master": 1, "worker": 19, "ps": 11}


def test_the_labs_custom_tier_has_eight_gpus() -> None:
    training = TrainingInput(
        scale_tier="CUSTOM", master_type="complex_model_m_gpu", worker_type="complex_model_m_gpu", worker_count=1
    )
    replicas = replicas_of(training, BUILT_IN)
    assert [replica.task_name for replica in replicas] == ["master-replica-0", "worker-replica-0"]
    assert sum(replica.machine.gpus for replica in replicas) == 8


def test_gpus_that_are_not_there_are_refused_with_what_was_asked_for() -> None:
    replicas = replicas_of(TrainingInput(scale_tier="BASIC_GPU"), BUILT_IN)
    with pytest.raises(PreconditionError, match=r"1 GPU \(1 x standard_gpu\) and this machine has none"):
        check_here(replicas, cores=2, gpus=0)
    assert check_here(replicas, cores=2, gpus=1) is None


def test_a_tpu_is_refused() -> None:
    with pytest.raises(PreconditionError, match="asks for a TPU"):
        check_here(replicas_of(TrainingInput(scale_tier="BASIC_TPU"), BUILT_IN), cores=2, gpus=0)


def test_replicas_that_share_the_cores_are_announced() -> None:
    notice = check_here(replicas_of(TrainingInput(scale_tier="STANDARD_1"), BUILT_IN), cores=2, gpus=0)
    assert notice is not None
    assert "8 processes that share the 2 cores" in notice
    assert check_here(replicas_of(TrainingInput(), BUILT_IN), cores=1, gpus=0) is None


def test_more_replicas_than_a_machine_can_run_are_refused() -> None:
    asked = TrainingInput(
        scale_tier="CUSTOM", master_type="standard", worker_type="standard", worker_count=500, python_module="a.b"
    )
    with pytest.raises(PreconditionError, match=r"501 replicas \(1 master, 500 worker\) and one machine runs 200"):
        check_here(replicas_of(asked, BUILT_IN), cores=2, gpus=0)


def test_accelerators_of_a_replicas_config_are_counted() -> None:
    config = ReplicaConfig(accelerator_config=AcceleratorConfig(count=2, type="NVIDIA_TESLA_V100"))
    training = TrainingInput(scale_tier="CUSTOM", master_type="n1-standard-8", master_config=config)
    (master,) = replicas_of(training, BUILT_IN)
    assert (master.machine.cpus, master.machine.gpus) == (8, 2)


def test_an_unknown_machine_is_named_with_its_neighbours() -> None:
    with pytest.raises(UsageError, match="did you mean 'standard_gpu'"):
        machine_named("standart_gpu", BUILT_IN)


def test_own_machines_stand_beside_and_over_the_built_in_ones(tmp_path: Path) -> None:
    file = tmp_path / "machines.yaml"
    assert load_machines(file) == dict(BUILT_IN)
    file.write_text("tower: {cpus: 64, memory_gb: 256, gpus: 2}\nstandard: {cpus: 2, memory_gb: 8}\n")
    machines = load_machines(file)
    assert machines["tower"].gpus == 2
    assert machines["standard"].cpus == 2
    file.write_text("tower: {cores: 64}\n")
    with pytest.raises(ConfigError, match="cores"):
        load_machines(file)
