import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from penstock.jobs.jobs import Jobs
from penstock.settings import load_settings

TASK = """
import json, os, sys
print("arguments", json.dumps(sys.argv[1:]))
print("WARNING: one warning")
sys.exit(3 if "fail" in sys.argv else 0)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    package = tmp_path / "project" / "trainer"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "task.py").write_text(TASK)
    return package.parent


def penstock(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penstock.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def submit(project: Path, job: str, *words: str) -> subprocess.CompletedProcess[str]:
    return penstock("jobs", "submit", "training", job, *words, cwd=project)


LAB = ["--region=us-central1", "--module-name=trainer.task", "--package-path=./trainer", "--runtime-version", "1.4"]


def test_the_labs_command_submits_and_its_job_is_described(project: Path) -> None:
    done = submit(project, "lab", *LAB, "--job-dir=bucket/lab", "--stream-logs", "--", "--output_dir=bucket/lab/output")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "jobId: lab\nstate: SUCCEEDED\n"
    assert "Job [lab] submitted successfully." in done.stderr
    job_dir = str(project / "bucket" / "lab")
    passed = json.dumps(["--output_dir=bucket/lab/output", "--job-dir", job_dir])
    assert f"\tmaster-replica-0\targuments {passed}" in done.stderr
    described = yaml.safe_load(penstock("jobs", "describe", "lab", cwd=project).stdout)
    assert described["state"] == "SUCCEEDED"
    assert described["trainingInput"]["region"] == "us-central1"
    assert described["trainingInput"]["runtimeVersion"] == "1.4"
    assert described["trainingInput"]["jobDir"] == job_dir
    assert described["startTime"] <= described["endTime"]


def test_without_stream_logs_it_says_how_to_go_on(project: Path) -> None:
    done = submit(project, "one", *LAB)
    assert done.stdout == "jobId: one\nstate: QUEUED\n"
    assert "$ penstock jobs stream-logs one" in done.stderr
    followed = penstock("jobs", "stream-logs", "one", "--task-name", "master-replica-0", cwd=project)
    assert followed.returncode == 0
    severities = [line.split("\t")[0] for line in followed.stdout.splitlines()]
    assert severities == ["INFO", "WARNING"]
    as_json = penstock("jobs", "stream-logs", "one", "--format", "json", cwd=project).stdout.splitlines()
    assert json.loads(as_json[0])["taskName"] == "service"


def test_ctrl_c_ends_the_streaming_and_not_the_job(project: Path) -> None:
    go = project / "go"
    (project / "trainer" / "task.py").write_text(
        f"import os, time\nprint('ready', flush=True)\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\n"
    )
    command = [sys.executable, "-m", "penstock.cli.main", "jobs", "submit", "training", "one", *LAB, "--stream-logs"]
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True, process_group=0) as streaming:
        assert streaming.stderr is not None
        assert any(line.endswith("\tready\n") for line in streaming.stderr)
        os.killpg(streaming.pid, signal.SIGINT)  # as the terminal sends it to all that runs in the foreground
        assert "job one goes on" in streaming.stderr.read()
        assert streaming.wait() == 130
    described = json.loads(penstock("jobs", "describe", "one", "--format", "json", cwd=project).stdout)
    assert described["state"] == "RUNNING"
    go.touch()
    followed = penstock("jobs", "stream-logs", "one", "--task-name", "worker-replica-0", cwd=project)
    assert followed.returncode == 0
    assert "no task 'worker-replica-0' of job one has said anything; service, master-replica-0 have" in followed.stderr


def test_a_failed_job_fails_its_stream(project: Path) -> None:
    done = submit(project, "one", *LAB, "--stream-logs", "--format", "json", "--", "fail")
    assert done.returncode == 1
    assert json.loads(done.stdout)["state"] == "FAILED"
    assert penstock("jobs", "stream-logs", "one", cwd=project).returncode == 1


def test_jobs_are_listed_as_gcloud_lists_them(project: Path) -> None:
    assert penstock("jobs", "list", "--format", "json", cwd=project).stdout == "[]\n"
    submit(project, "one", *LAB, "--labels", "team=a", "--stream-logs")
    submit(project, "two", *LAB, "--stream-logs", "--", "fail")
    lines = penstock("jobs", "list", cwd=project).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["JOB_ID", "STATUS"], ["two", "FAILED"], ["one", "SUCCEEDED"]]
    as_json = json.loads(penstock("jobs", "list", "--format", "json", cwd=project).stdout)
    assert as_json[1]["labels"] == {"team": "a"}
    assert penstock("jobs", "list", "--project", "other", "--format", "json", cwd=project).stdout == "[]\n"


def test_the_labs_config_of_eight_gpus_is_refused_where_there_are_none(project: Path) -> None:
    (project / "config.yaml").write_text(
        "trainingInput:\n  scaleTier: CUSTOM\n  masterType: complex_model_m_gpu\n"
        "  workerType: complex_model_m_gpu\n  workerCount: 1\n"
    )
    if list(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a GPU")
    done = submit(project, "gpus", *LAB, "--config", "config.yaml")
    assert done.returncode == 1
    assert "asks for 8 GPUs (2 x complex_model_m_gpu) and this machine has none" in done.stderr
    done = submit(project, "gpu", *LAB, "--scale-tier=BASIC_GPU")
    assert "asks for 1 GPU" in done.stderr
    assert "Traceback" not in done.stderr


def test_flags_win_over_the_config(project: Path) -> None:
    (project / "config.json").write_text(
        json.dumps({"labels": {"a": "b"}, "trainingInput": {"region": "nowhere", "args": ["x"], "scaleTier": "BASIC"}})
    )
    submit(project, "one", *LAB, "--config", "config.json", "--stream-logs", "--", "y")
    described = json.loads(penstock("jobs", "describe", "one", "--format", "json", cwd=project).stdout)
    assert described["trainingInput"]["region"] == "us-central1"
    assert described["trainingInput"]["args"] == ["y"]
    assert described["labels"] == {"a": "b"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--module-name", "trainer.task", "--scale-tier", "BASIK"], "did you mean 'BASIC'"),
        (["--module-name", "trainer.tasks"], "did you mean 'trainer.task'"),
        (["--module-name", "trainer.task", "--cluster", "not an address"], "that of its job server"),
        (["--module-name", "trainer.task", "--config", "no.yaml"], "cannot be read"),
        (["--module-name", "other.task"], "no package folder"),
        (["--package-path", "trainer"], "expected dotted names"),
        (["--module-name", "trainer.task", "--packages", "gone.tar.gz"], "no package 'gone.tar.gz'"),
        (["--experiment", "e.yaml", "--module-name", "trainer.task"], "goes without --module-name"),
        (["--experiment", "gone.yaml"], "no experiment file"),
    ],
)
def test_misuse_is_one_paragraph(project: Path, words: list[str], message: str) -> None:
    done = submit(project, "one", *words)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    with Jobs(load_settings()) as jobs:
        assert jobs.list() == []


def test_unknown_jobs_are_named(project: Path) -> None:
    for words in (["describe", "no"], ["cancel", "no"], ["stream-logs", "no"]):
        done = penstock("jobs", *words, cwd=project)
        assert done.returncode == 1
        assert "no job 'no'" in done.stderr


def test_cancelling_says_what_it_did(project: Path) -> None:
    (project / "trainer" / "task.py").write_text("import time; time.sleep(60)")
    submit(project, "one", *LAB)
    assert "cancelling job one" in penstock("jobs", "cancel", "one", cwd=project).stderr
    assert penstock("jobs", "stream-logs", "one", cwd=project).returncode == 1
    again = penstock("jobs", "cancel", "one", cwd=project)
    assert (again.returncode, again.stderr) == (0, "job one is over already: CANCELLED\n")


def test_jobs_commands_load_no_framework_and_not_sqlalchemy() -> None:
    code = "from penstock.cli.main import main\nimport sys\ntry: main(['jobs', 'list'])\nexcept SystemExit: pass\n"
    code += "print([n for n in ('sqlalchemy', 'numpy', 'keras', 'jax', 'ray', 'duckdb', 'fsspec') if n in sys.modules])"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)  # makes the store
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_supervisor_starts_before_what_builds_packages_is_loaded_and_is_the_only_process(project: Path) -> None:
    """Both load at once; what is loaded before it starts is waited for by every job."""
    code = """
import subprocess, sys
begun, start = [], subprocess.Popen.__init__
def noted(self, *words, **options):
    begun.append([name for name in LATER if name in sys.modules])
    start(self, *words, **options)
LATER = ["penstock.jobs.packaging", "penstock.jobs.machines", "penstock.tuning", "zipfile", "yaml"]
subprocess.Popen.__init__ = noted
from penstock.cli.main import main
try: main(["jobs", "submit", "training", "one", "--module-name=trainer.task", "--package-path=trainer"])
except SystemExit: pass
print(begun, [name for name in ("penstock.tuning", "yaml", "sqlite3", "numpy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[[]] []"
