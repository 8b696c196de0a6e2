"""Files of instances as a table's reader takes them."""

from pathlib import Path

from penstock.cli.instance_files import read_instances


def test_spaces_around_names_and_cells_of_a_csv_do_not_count(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('x, c , "long name"\n5, a , "b, d"\n 6,   ,e\n')
    found = read_instances(csv_instances=file)
    assert found.instances == [{"x": "5", "c": "a", "long name": "b, d"}, {"x": "6", "c": None, "long name": "e"}]
    assert found.lines == [2, 3]
