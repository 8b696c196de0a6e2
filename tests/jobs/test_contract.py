import json

from penstock.jobs.contract import trainer_arguments, trainer_environment
from penstock.jobs.machines import BUILT_IN, replicas_of
from penstock.jobs.training_input import TrainingInput

CUSTOM = TrainingInput(
    scale_tier="CUSTOM",
    master_type="standard",
    worker_type="standard",
    worker_count=2,
    parameter_server_type="standard",
    parameter_server_count=1,
    evaluator_type="standard",
    evaluator_count=1,
    python_module="trainer.task",
    args=["--rate", "0.1"],
    job_dir="/jobs/one",
    runtime_version="1.4",
)


def environments(training: TrainingInput, trial: str | None = None) -> dict[str, dict[str, str]]:
    replicas = replicas_of(training, BUILT_IN)
    addresses = {replica.task_name: f"127.0.0.1:{2000 + number}" for number, replica in enumerate(replicas)}
    return {
        replica.task_name: trainer_environment(
            replica, addresses=addresses, coordinator="127.0.0.1:3000", training=training, job_id="one", trial=trial
        )
        for replica in replicas
    }


def test_tf_config_names_cluster_task_and_job() -> None:
    config = json.loads(environments(CUSTOM)["worker-replica-1"]["TF_CONFIG"])
    assert config["cluster"] == {
        "master": ["127.0.0.1:2000"],
        "worker": ["127.0.0.1:2001", "127.0.0.1:2002"],
        "ps": ["127.0.0.1:2003"],
    }
    assert config["task"] == {"type": "worker", "index": 1}
    assert config["environment"] == "cloud"
    assert config["job"]["python_module"] == "trainer.task"
    assert config["job"]["job_dir"] == "/jobs/one"
    assert config["job"]["args"] == ["--rate", "0.1"]


def test_an_evaluator_is_a_task_and_never_in_the_cluster() -> None:
    config = json.loads(environments(CUSTOM)["evaluator-replica-0"]["TF_CONFIG"])
    assert config["task"]["type"] == "evaluator"
    assert "evaluator" not in config["cluster"]


def test_the_chief_is_called_so_where_that_is_asked_for() -> None:
    import msgspec

    config = json.loads(
        environments(msgspec.structs.replace(CUSTOM, use_chief_in_tf_config=True))["master-replica-0"]["TF_CONFIG"]
    )
    assert config["task"]["type"] == "chief"
    assert "master" not in config["cluster"]


def test_a_trial_is_a_string_and_absent_outside_of_tuning() -> None:
    plain = environments(CUSTOM)["master-replica-0"]
    assert "trial" not in json.loads(plain["TF_CONFIG"])["task"]
    assert "CLOUD_ML_TRIAL_ID" not in plain
    tuning = environments(CUSTOM, trial="3")["master-replica-0"]
    assert json.loads(tuning["TF_CONFIG"])["task"]["trial"] == "3"
    assert tuning["CLOUD_ML_TRIAL_ID"] == "3"


def test_master_and_workers_form_the_ring_of_jax_and_torch() -> None:
    found = environments(CUSTOM)
    ranks = {name: variables.get("RANK") for name, variables in found.items()}
    assert ranks == {
        "master-replica-0": "0",
        "worker-replica-0": "1",
        "worker-replica-1": "2",
        "ps-replica-0": None,
        "evaluator-replica-0": None,
    }
    last = found["worker-replica-1"]
    assert last["JAX_COORDINATOR_ADDRESS"] == "127.0.0.1:3000"
    assert (last["JAX_PROCESS_ID"], last["JAX_NUM_PROCESSES"]) == ("2", "3")
    assert (last["MASTER_ADDR"], last["MASTER_PORT"], last["WORLD_SIZE"]) == ("127.0.0.1", "3000", "3")


def test_a_lone_master_waits_for_nobody() -> None:
    variables = environments(TrainingInput(python_module="trainer.task"))["master-replica-0"]
    assert "RANK" not in variables
    assert "JAX_COORDINATOR_ADDRESS" not in variables


def test_job_dir_comes_behind_the_trainers_own_arguments() -> None:
    assert trainer_arguments(CUSTOM, job_dir="gs://b/j") == ["--rate", "0.1", "--job-dir", "gs://b/j"]
    assert trainer_arguments(CUSTOM, job_dir="") == ["--rate", "0.1"]
