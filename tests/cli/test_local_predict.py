from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.runtime.bundles import linear_bundle, mixed_bundle

from penstock.cli.local_predict import predict
from penstock.cli.main import main
from penstock.errors import DataError


def ask(*arguments: object) -> Result:
    return CliRunner().invoke(predict, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_bundle_answers_a_file_of_json_lines(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    rows = tmp_path / "rows.json"
    rows.write_text('{"A": 1, "B": 2, "C": 3}\n{"A": 0, "B": 0, "C": 0.5}\n')
    done = ask("--model-dir", bundle, "--json-instances", rows)
    assert (done.exit_code, done.stdout) == (0, '{"predictions": [[321.0],[50.0]]}\n')


def test_the_newest_of_an_exporters_bundles_answers(tmp_path: Path) -> None:
    linear_bundle(tmp_path / "Servo" / "999")
    linear_bundle(tmp_path / "Servo" / "1000", offset=0.5)
    rows = tmp_path / "rows.csv"
    rows.write_text("C,B,A\n3,2,1\n")
    assert ask("--model-dir", tmp_path / "Servo", "--csv-instances", rows).stdout == '{"predictions": [[321.5]]}\n'


def test_an_empty_cell_is_a_missing_value(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("age,town,rooms,zone\n,,2,a\n")
    done = ask("--model-dir", mixed_bundle(tmp_path / "bundle"), "--csv-instances", rows)
    assert '"numbers":[NaN,2.0,NaN]' in done.stdout
    assert '"classes":["MISSING","a"]' in done.stdout


def test_many_rows_are_answered_in_order(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text("".join(f'{{"A": {number}, "B": 0, "C": 0}}\n' for number in range(2_500)))
    done = ask("--model-dir", linear_bundle(tmp_path / "bundle"), "--json-instances", rows)
    assert done.stdout == '{"predictions": [' + ",".join(f"[{number}.0]" for number in range(2_500)) + "]}\n"


def test_a_wrong_instance_is_named_by_its_line(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text('{"A": 1, "B": 2, "C": 3}\n' * 1_200 + '{"A": 1, "B": "x", "C": 3}\n')
    with pytest.raises(DataError, match=r"rows\.json line 1201: instance 200: column 'B' is 'x'; expected a number"):
        ask("--model-dir", linear_bundle(tmp_path / "bundle"), "--json-instances", rows)


def test_the_command_line_has_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text('{"A": 1, "B": 2, "C": 3}\n')
    bundle = linear_bundle(tmp_path / "bundle")
    with pytest.raises(SystemExit) as ended:
        main(["local", "predict", "--model-dir", bundle, "--json-instances", str(rows)])
    assert ended.value.code == 0
    assert capfd.readouterr().out == '{"predictions": [[321.0]]}\n'
