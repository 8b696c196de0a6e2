"""`penstock models` and `penstock versions` as a person types them."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from penstock.cli.main import main

MakeBundle = Callable[..., Path]
Output = pytest.CaptureFixture[str]


class Shell:
    """Runs command lines in this process."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def __call__(self, line: str, *more: str) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        with pytest.raises(SystemExit) as exit_:
            main([*line.split(), *more])
        out, err = self._output.readouterr()
        assert isinstance(exit_.value.code, int)
        return exit_.value.code, out, err

    def ok(self, line: str, *more: str) -> str:
        status, out, err = self(line, *more)
        assert status == 0, err
        return out


@pytest.fixture
def shell(capsys: Output) -> Shell:
    return Shell(capsys)


def test_the_commands_of_the_2017_lab(
    shell: Shell, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle("output/export/Servo/1511000000", graph=b"old")
    make_bundle("output/export/Servo/1511000009", graph=b"new")
    monkeypatch.chdir(tmp_path)
    assert shell.ok("models create housing_prices --regions us-central1") == "created model housing_prices\n"
    status, out, err = shell(
        "versions create v1 --model housing_prices --origin output/export/Servo/1511000000 --staging-bucket=gs://b"
    )
    assert (status, out) == (0, "created version v1 of model housing_prices (number 1, the default)\n")
    assert "--staging-bucket has no effect" in err
    assert "penstock predict --model housing_prices" in err
    shell.ok("versions create v2 --model housing_prices --origin output/export/Servo --runtime-version 1.4")
    assert shell.ok("models list").splitlines() == ["NAME            DEFAULT_VERSION_NAME", "housing_prices  v1"]
    listed = [line.split() for line in shell.ok("versions list --model housing_prices").splitlines()]
    assert listed == [
        ["NAME", "DEPLOYMENT_URI", "STATE", "NUMBER", "DEFAULT"],
        ["v1", f"{tmp_path}/output/export/Servo/1511000000", "READY", "1", "yes"],
        ["v2", f"{tmp_path}/output/export/Servo/1511000009", "READY", "2"],
    ]
    shell.ok("versions set-default v2 --model housing_prices")
    shell.ok("versions delete v1 --model housing_prices")
    shell.ok("versions delete v2 --model housing_prices")
    shell.ok("models delete housing_prices")
    assert shell("models list") == (0, "", "Listed 0 items.\n")


def test_describe_shows_where_a_version_came_from(shell: Shell, make_bundle: MakeBundle) -> None:
    shell.ok("models create m --description", "Prices of homes")
    shell.ok(f"versions create v1 --model m --origin {make_bundle()} --labels team=data,stage= --runtime-version 1.4")
    described = yaml.safe_load(shell.ok("versions describe v1 --model m"))
    assert described == json.loads(shell.ok("versions describe 1 --model m --format json"))
    assert described["name"] == "projects/local/models/m/versions/v1"
    assert (described["state"], described["isDefault"], described["number"]) == ("READY", True, 1)
    assert described["runtimeVersion"] == "1.4"
    assert described["labels"] == {"team": "data", "stage": ""}
    assert described["lineage"]["estimator"] == "DNNRegressor"
    assert described["lineage"]["metrics"] == {"average_loss": 2.5}
    assert described["lineage"]["dataDigest"] == "d1" * 32
    model = json.loads(shell.ok("models describe m --format json"))
    assert model["name"] == "projects/local/models/m"
    assert model["description"] == "Prices of homes"
    assert model["defaultVersion"] == described


def test_json_comes_with_the_fields_of_the_api(shell: Shell, make_bundle: MakeBundle) -> None:
    made = json.loads(shell.ok("models create m --regions europe-west1 --enable-logging --format json"))
    assert made["regions"] == ["europe-west1"]
    assert made["onlinePredictionLogging"] is True
    version = json.loads(shell.ok(f"versions create v1 --model m --origin {make_bundle()} --format json"))
    assert version["deploymentUri"].endswith("/bundle")
    assert version["createTime"].endswith("Z")
    assert json.loads(shell.ok("versions list --model m --format json")) == [version]
    assert [model["name"] for model in json.loads(shell.ok("models list --format json"))] == [made["name"]]
    deleted = json.loads(shell.ok("versions delete v1 --model m --format json"))
    assert deleted == {"name": version["name"], "deleted": True}
    assert json.loads(shell.ok("versions list --model m --format json")) == []
    assert json.loads(shell.ok("models delete m --format json")) == {"name": made["name"], "deleted": True}


def test_a_config_file_fills_in_what_flags_leave_out(shell: Shell, make_bundle: MakeBundle, tmp_path: Path) -> None:
    config = tmp_path / "version.yaml"
    config.write_text(
        f"deploymentUri: {make_bundle()}\ndescription: from the file\nruntimeVersion: 1.10\n"
        "manualScaling: {nodes: 2}\nlabels: {stage: test}\n"
        "explanationConfig: {sampledShapleyAttribution: {numPaths: 50}}\n"
    )
    shell.ok("models create m")
    made = json.loads(shell.ok(f"versions create v1 --model m --config {config} --format json"))
    assert made["description"] == "from the file"
    assert made["runtimeVersion"] == "1.10"
    assert made["manualScaling"] == {"nodes": 2}
    assert made["labels"] == {"stage": "test"}
    assert made["explanationConfig"] == {"sampledShapleyAttribution": {"numPaths": 50}}
    made = json.loads(
        shell.ok(f"versions create v2 --model m --config {config} --labels a=b --format json --description", "by flag")
    )
    assert (made["description"], made["labels"], made["runtimeVersion"]) == ("by flag", {"a": "b"}, "1.10")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("deploymentURI: x", "has a field 'deploymentURI'; expected"),
        ("deploymentUri: [x]", "does not describe a version: Expected `str`"),
        ("manualScaling: {nodes: many}", "Expected `int`"),
        ("manualScaling: {knots: 3}", "unknown field `knots`"),
        ("autoScaling: {minNodes: 1}\nmanualScaling: {nodes: 1}", "both autoScaling and manualScaling"),
        ("explanationConfig: {sampledShapleyAttribution: {numPaths: 0}}", "Expected `int` >= 1"),
        ("explanationConfig: {sampledShapleyAttribution: {}}", "missing required field `numPaths`"),
        ("explanationConfig: {xraiAttribution: {numIntegralSteps: 9}}", "unknown field `xraiAttribution`"),
        ("- a", "holds no fields"),
        ("a: [", "cannot be read"),
        ("", "there is no bundle to register"),
    ],
)
def test_a_config_file_that_is_wrong_says_what(
    shell: Shell, make_bundle: MakeBundle, tmp_path: Path, content: str, complaint: str
) -> None:
    shell.ok("models create m")
    config = tmp_path / "version.yaml"
    config.write_text(content)
    origin = [] if content == "" else ["--origin", str(make_bundle())]
    status, _, err = shell(f"versions create v1 --model m --config {config}", *origin)
    assert status in (1, 2)
    assert complaint in err


def test_updates_of_descriptions_and_labels(shell: Shell, make_bundle: MakeBundle) -> None:
    shell.ok("models create m --labels a=1,b=2")
    shell.ok("models update m --update-labels b=3,c=4 --remove-labels a --description", "été 🏠")
    described = json.loads(shell.ok("models describe m --format json"))
    assert (described["labels"], described["description"]) == ({"b": "3", "c": "4"}, "été 🏠")
    assert "été 🏠" in shell.ok("models describe m")
    shell.ok(f"versions create v1 --model m --origin {make_bundle()} --labels a=1")
    shell.ok("versions update v1 --model m --clear-labels --update-labels z=9")
    assert json.loads(shell.ok("versions describe v1 --model m --format json"))["labels"] == {"z": "9"}


def test_lists_are_filtered_and_cut(shell: Shell, make_bundle: MakeBundle) -> None:
    for name in ("bikes", "houses", "taxis"):
        shell.ok(f"models create {name} --labels first={name[0]}")
    assert [line.split()[0] for line in shell.ok("models list --limit 2").splitlines()[1:]] == ["bikes", "houses"]
    assert [line.split()[0] for line in shell.ok("models list --filter labels.first=t").splitlines()[1:]] == ["taxis"]
    status, _, err = shell("models list --filter colour:red")
    assert status == 2
    assert "asks for 'colour'" in err


def test_a_project_may_stand_behind_the_command(shell: Shell) -> None:
    shell.ok("models create m --project other --quiet --region europe-west1")
    assert shell("models list")[1] == ""
    assert shell.ok("--project other models list").split()[-1] == "m"


@pytest.mark.parametrize(
    ("line", "status", "complaint"),
    [
        ("models describe nope", 1, "there is no model 'nope'"),
        ("models create 1st", 2, "cannot be the name of a model"),
        ("models create m --labels team", 2, "'team' is not KEY=VALUE"),
        ("models create", 2, "MODEL"),
        ("versions list", 2, "--model"),
        ("versions list --model nope", 1, "there is no model 'nope'"),
        ("versions create v1 --model nope --origin {bundle}", 1, "make it: penstock models create nope"),
        ("versions create v1 --model nope --origin nowhere", 1, "there is no folder nowhere"),
        ("versions create v1 --model nope", 2, "expected --origin BUNDLE"),
        ("versions create v1 --model nope --config nowhere.yaml", 1, "there is no file nowhere.yaml"),
    ],
)
def test_failures_are_one_paragraph_and_a_status(
    shell: Shell, make_bundle: MakeBundle, line: str, status: int, complaint: str
) -> None:
    found, out, err = shell(line.replace("{bundle}", str(make_bundle())))
    assert (found, out) == (status, "")
    assert complaint in err
    assert "Traceback" not in err


def ask_on_a_terminal(words: list[str], answer: str) -> tuple[int, str]:
    """Runs penstock with a terminal for its input, types an answer, and returns its status and what it printed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "penstock.cli.main", *words],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        os.write(ours, answer.encode())
        output, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    return process.returncode, output


def test_a_person_is_asked_before_something_is_deleted(shell: Shell) -> None:
    shell.ok("models create m")
    status, output = ask_on_a_terminal(["models", "delete", "m"], "n\n")
    assert status != 0
    assert "This will delete model 'm'. Do you want to continue?" in output
    shell.ok("models describe m")
    assert ask_on_a_terminal(["models", "delete", "m"], "y\n")[0] == 0
    assert shell("models describe m")[0] == 1
