"""`penstock predict` against a real server, with good and bad files."""

import io
import json
from pathlib import Path

import pytest

from penstock.cli.main import main

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def server(prediction_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_SERVER_URL", prediction_server)


def predict(output: Output, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(["predict", "--model", "houses", *words])
    out, err = output.readouterr()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, out, err


def file_of(folder: Path, text: str | bytes, name: str = "records.json") -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        '{"RM": 6.5, "TAX": 10}\n{"RM": 7, "TAX": 20}\n',
        '{"RM": 6.5, "TAX": 10}\r\n{"RM": 7, "TAX": 20}',
        '\ufeff{"RM": 6.5, "TAX": 10}\n{"RM": 7, "TAX": 20}\n\n\n',
    ],
)
def test_json_lines_in_one_prediction_each_out(capsys: Output, tmp_path: Path, text: str) -> None:
    status, out, err = predict(capsys, "--json-instances", file_of(tmp_path, text))
    assert (status, out, err) == (0, "PREDICTIONS\n6510.0\n7020.0\n", "")


def test_json_out_as_the_service_gives_it(capsys: Output, tmp_path: Path) -> None:
    records = file_of(tmp_path, '{"RM": 6.5, "TAX": 10}\n')
    for version in ([], ["--version", "v1"], ["--version", "1"]):
        status, out, _ = predict(capsys, "--json-instances", records, "--format", "json", *version)
        assert (status, json.loads(out)) == (0, {"predictions": [[6510.0]]})


def test_standard_input_is_read(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"RM": 1, "TAX": 1}\n')))
    assert predict(capsys, "--json-instances", "-")[:2] == (0, "PREDICTIONS\n1001.0\n")


def test_csv_with_a_header(capsys: Output, tmp_path: Path) -> None:
    cells = file_of(tmp_path, 'RM,"TAX"\r\n6.5,10\r\n\r\n"7",20\r\n')
    assert predict(capsys, "--csv-instances", cells)[:2] == (0, "PREDICTIONS\n6510.0\n7020.0\n")


def test_files_of_any_length(capsys: Output, tmp_path: Path) -> None:
    records = file_of(tmp_path, "".join(f'{{"RM": {n}, "TAX": 0}}\n' for n in range(2_500)))
    status, out, _ = predict(capsys, "--json-instances", records, "--format", "json")
    assert status == 0
    assert json.loads(out)["predictions"] == [[n * 1000.0] for n in range(2_500)]


@pytest.mark.parametrize(
    ("flag", "text", "complaint"),
    [
        ("--json-instances", '{"RM": 1}\n{"RM": }\n', "records line 2 is not JSON"),
        ("--json-instances", '{"RM": 1}\n\n{"RM": 1}\n', "records line 2 is empty"),
        ("--json-instances", '[{"RM": 1},\n{"RM": 2}]', "holds one JSON array"),
        ("--json-instances", '[{"RM": 1}]', "holds one JSON array"),
        ("--json-instances", "[\n{}\n]", "holds one JSON array"),
        ("--json-instances", '{"RM": Infinity}', "records line 1 is not JSON (Infinity is not a value"),
        ("--json-instances", '{"RM": 1e999}', "records line 1: instance 0, column 'RM': inf cannot be sent"),
        ("--json-instances", "", "holds no instances"),
        ("--json-instances", "\n \n", "holds no instances"),
        ("--json-instances", b'{"RM": 1}\n{"RM": "\xe9"}', "records line 2 is not UTF-8: byte 0xe9"),
        ("--json-instances", '{"RM": 1}\n{"TAX": 1}', "records line 2: instance 1 "),
        ("--json-instances", '{"RM": 1}\n{"RM": "many"}', "records line 2: instance 1"),
        ("--csv-instances", "RM,TAX\n1,2\n1\n", "records line 3 has 1 cells; expected 2"),
        ("--csv-instances", "RM,RM\n1,2\n", "names the column 'RM' more than once"),
        ("--csv-instances", 'RM,TAX\n"1,2\n', "records line 2 is not CSV"),
        ("--csv-instances", "RM,TAX\n", "holds no instances"),
        ("--csv-instances", "RM,TAX\n1,2\n\nmany,2\n", "records line 4: instance 1"),
        ("--text-instances", "", "holds no instances"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_by_its_line(
    capsys: Output, tmp_path: Path, flag: str, text: str | bytes, complaint: str
) -> None:
    status, out, err = predict(capsys, flag, file_of(tmp_path, text, "records"))
    assert (status, out) == (1, "")
    assert complaint in err
    assert "Traceback" not in err


def test_the_line_is_right_also_far_into_a_file(capsys: Output, tmp_path: Path) -> None:
    lines = ['{"RM": 1, "TAX": 1}'] * 1_500
    lines[1_234] = '{"TAX": 1}'
    status, _, err = predict(capsys, "--json-instances", file_of(tmp_path, "\n".join(lines)))
    assert status == 1
    assert "records.json line 1235: instance 234" in err


def test_text_lines_go_as_bare_values(capsys: Output, tmp_path: Path) -> None:
    status, _, err = predict(capsys, "--text-instances", file_of(tmp_path, "one\ntwo\n"))
    assert status == 1, "the model takes two columns and no bare value"
    assert "instance 0" in err


def test_flags_that_do_not_go_together_are_misuse(capsys: Output, tmp_path: Path) -> None:
    records = file_of(tmp_path, "{}\n")
    assert predict(capsys)[0] == 2
    assert predict(capsys, "--json-instances", records, "--csv-instances", records)[0] == 2


def test_a_missing_file_and_a_missing_server_are_told_apart(capsys: Output, tmp_path: Path) -> None:
    status, _, err = predict(capsys, "--json-instances", str(tmp_path / "nowhere"))
    assert (status, err) == (1, f"penstock: there is no file {tmp_path / 'nowhere'}\n")
    records = file_of(tmp_path, '{"RM": 1}\n')
    status, _, err = predict(capsys, "--json-instances", records, "--server", "http://127.0.0.1:9")
    assert status == 1
    assert "start one with `penstock serve`" in err


def test_an_unknown_model_is_the_servers_to_refuse(capsys: Output, tmp_path: Path) -> None:
    status, _, err = predict(capsys, "--json-instances", file_of(tmp_path, '{"RM": 1}\n'), "--model", "nowhere")
    assert status == 1
    assert "nowhere" in err
