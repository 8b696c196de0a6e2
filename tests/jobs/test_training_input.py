import msgspec
import pytest

from penstock.errors import ConfigError, UsageError
from penstock.jobs.training_input import TrainingInput, check_job_id, parse_job, seconds_of

LAB_CONFIG = {
    "trainingInput": {
        "scaleTier": "CUSTOM",
        "masterType": "complex_model_m_gpu",
        "workerType": "complex_model_m_gpu",
        "workerCount": 1,
    }
}


def test_the_labs_config_is_read() -> None:
    training, labels = parse_job(LAB_CONFIG, name="config.yaml")
    assert (training.scale_tier, training.master_type, training.worker_count) == ("CUSTOM", "complex_model_m_gpu", 1)
    assert labels == {}


def test_snake_case_strings_for_numbers_and_lower_case_tiers_are_the_same_job() -> None:
    section = {
        "scale_tier": "custom",
        "master_type": "complex_model_m_gpu",
        "workerType": "complex_model_m_gpu",
        "worker_count": "1",
        "runtimeVersion": 1.4,
        "master_config": {"accelerator_config": {"count": "2", "type": "NVIDIA_TESLA_K80"}},
    }
    training, _ = parse_job({"training_input": section}, name="config.yaml")
    assert training.worker_count == 1
    assert training.runtime_version == "1.4"
    assert training.master_config is not None
    assert training.master_config.accelerator_config is not None
    assert training.master_config.accelerator_config.count == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["a list"], "holds no job"),
        ({"scaleTier": "BASIC"}, "a job may give jobId"),
        ({"trainingInput": {"workerCout": 1}}, "did you mean 'workerCount'"),
        ({"trainingInput": {"workerCount": "many"}}, "workerCount"),
        ({"trainingInput": {"scaleTier": "BASIK"}}, "did you mean 'BASIC'"),
        ({"predictionInput": {}}, "submits training jobs"),
        ({"labels": {"team": 3}}, "labels"),
    ],
)
def test_what_is_wrong_in_a_config_is_named(content: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_job(content, name="config.yaml")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"python_module": "a; rm -rf /"}, "expected dotted names"),
        ({"worker_count": 2}, "workerCount goes with scaleTier CUSTOM only"),
        ({"scale_tier": "CUSTOM"}, "needs masterType"),
        ({"scale_tier": "CUSTOM", "master_type": "standard", "worker_count": 1}, "workerType must name"),
        (
            {"scale_tier": "CUSTOM", "master_type": "standard", "worker_count": 10**12},
            "workerCount is 1000000000000; expected 0 to 10,000",
        ),
        ({"scheduling": {"maxRunningTime": "2h"}}, "expected seconds such as 7200s"),
        ({"master_config": {"imageUri": "gcr.io/p/i"}}, "names a container"),
        ({"package_uris": ["a"] * 101}, "at most 100"),
    ],
)
def test_what_cannot_be_a_job_is_refused(fields: dict[str, object], message: str) -> None:
    content = {"python_module": "trainer.task", **fields}
    names = {"worker_count": "workerCount", "scale_tier": "scaleTier", "master_type": "masterType"}
    camel = {
        names.get(key, key.replace("python_module", "pythonModule")).replace("package_uris", "packageUris"): value
        for key, value in content.items()
    }
    camel = {key.replace("master_config", "masterConfig"): value for key, value in camel.items()}
    training = msgspec.convert(camel, TrainingInput)
    with pytest.raises(UsageError, match=message):
        training.check()


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a b", "a" * 129, "ä", "../x"])
def test_a_jobs_name_is_a_letter_and_then_letters_digits_and_underscores(name: str) -> None:
    assert check_job_id("housing_170923_101500") == "housing_170923_101500"
    with pytest.raises(UsageError):
        check_job_id(name)


def test_durations_are_seconds() -> None:
    assert seconds_of("7200s") == 7200
    assert seconds_of("0.5s") == 0.5
    assert seconds_of("") is None
