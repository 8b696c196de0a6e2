import json
import subprocess
import sys
from pathlib import Path

import pytest

TASK = """
import json, os, sys
print(json.dumps({"arguments": sys.argv[1:], "TF_CONFIG": json.loads(os.environ["TF_CONFIG"])}))
sys.exit(int(os.environ.get("STATUS", "0")))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "trainer"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "task.py").write_text(TASK)
    return folder


def penstock(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penstock.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_the_labs_command_runs_the_trainer_with_its_arguments(package: Path) -> None:
    words = ["--module-name=trainer.task", "--package-path=trainer", "--", "--output_dir=./output"]
    done = penstock("local", "train", *words, cwd=package.parent)
    said = json.loads(done.stdout)
    assert said["arguments"] == ["--output_dir=./output"]
    assert said["TF_CONFIG"]["job"] == {"job_name": "trainer.task", "args": ["--output_dir=./output"]}
    assert done.returncode == 0


def test_job_dir_reaches_the_trainer_and_its_status_is_ours(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATUS", "7")
    done = penstock("local", "train", "--module-name", "trainer.task", "--job-dir", "out", cwd=package.parent)
    assert json.loads(done.stdout)["arguments"] == ["--job-dir", "out"]
    assert done.returncode == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--module-name", "trainer.task; rm -rf /"], "expected dotted names"),
        (["--module-name", "other.task"], "no package folder"),
        (["--module-name", "other.task", "--package-path", "trainer"], "--package-path ends in 'trainer'"),
    ],
)
def test_a_wrong_package_is_named(package: Path, words: list[str], message: str) -> None:
    done = penstock("local", "train", *words, cwd=package.parent)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


CLUSTER_TASK = """
import json, os, sys, time
config = json.loads(os.environ["TF_CONFIG"])
task = config["task"]
with open(f"{task['type']}-{task['index']}.json", "w") as file:
    json.dump({"cluster": config["cluster"], "rank": os.environ.get("RANK")}, file)
if task["type"] == "ps": time.sleep(60)
while len([name for name in os.listdir() if name.endswith(".json")]) < 6: time.sleep(0.02)
if "fail" in sys.argv and task == {"type": "worker", "index": 1}: sys.exit(5)
if "fail" in sys.argv: time.sleep(60)
"""


def test_distributed_is_a_cluster_with_ports_for_master_then_servers_then_workers(package: Path) -> None:
    (package / "task.py").write_text(CLUSTER_TASK)
    words = ["--module-name=trainer.task", "--distributed", "--worker-count=3", "--start-port=30100"]
    done = penstock("local", "train", *words, cwd=package.parent)
    assert done.returncode == 0, done.stderr
    said = json.loads((package.parent / "worker-2.json").read_text())
    assert said["cluster"] == {
        "master": ["localhost:30100"],
        "ps": ["localhost:30101", "localhost:30102"],
        "worker": ["localhost:30103", "localhost:30104", "localhost:30105"],
    }
    assert said["rank"] == "3"
    assert json.loads((package.parent / "ps-1.json").read_text())["rank"] is None


def test_a_failing_worker_ends_the_local_cluster(package: Path) -> None:
    (package / "task.py").write_text(CLUSTER_TASK)
    words = ["--module-name=trainer.task", "--distributed", "--worker-count=3", "--", "fail"]
    assert penstock("local", "train", *words, cwd=package.parent).returncode == 5


def test_counts_without_distributed_are_misuse(package: Path) -> None:
    done = penstock("local", "train", "--module-name=trainer.task", "--worker-count=3", cwd=package.parent)
    assert done.returncode == 2
    assert "go with --distributed" in done.stderr
