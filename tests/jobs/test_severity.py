import pytest

from penstock.jobs.severity import SeverityReader


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("step 10: loss 0.5", "INFO"),
        ("WARNING: careful", "WARNING"),
        ("WARNING:tensorflow:From task.py", "WARNING"),
        ("ERROR:root:it failed", "ERROR"),
        ("2026-11-23 22:09:37,123 - trainer - ERROR - it failed", "ERROR"),
        ("2026-11-23 22:09:37 INFO ready", "INFO"),
        ("[CRITICAL] disk", "CRITICAL"),
        ("FATAL: no", "CRITICAL"),
        ("DEBUG details", "DEBUG"),
        ("W1123 22:09:37.123456 1 task.py:3] old", "WARNING"),
        ("2026-11-23 22:09:37.123456: E external/local_xla", "ERROR"),
        ("/x/task.py:3: UserWarning: look", "WARNING"),
        ("INFORMATION about ERROR handling", "INFO"),
        ("ERRORS: 0", "INFO"),
        ("", "INFO"),
    ],
)
def test_a_lines_severity_is_what_it_says(line: str, severity: str) -> None:
    assert SeverityReader().of(line) == severity


def test_a_traceback_is_an_error_from_first_to_last_line() -> None:
    reader = SeverityReader()
    lines = [
        "before",
        "Traceback (most recent call last):",
        '  File "a.py", line 1',
        "    x",
        "ValueError: no",
        "after",
    ]
    assert [reader.of(line) for line in lines] == ["INFO", "ERROR", "ERROR", "ERROR", "ERROR", "INFO"]
