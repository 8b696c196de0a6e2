"""The severity of what a process printed, read off the line itself."""

import re

__all__ = ["SEVERITIES", "SeverityReader"]

SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_TRACEBACK = re.compile(r"\s*(\+ )?(Exception Group )?Traceback \(most recent call last\):")
# absl and glog: I0123 12:34:56.789; TensorFlow's C++: 2026-01-23 12:34:56.789: W tensorflow/…
_GLOG = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: ([IWEF]) ")
_NAMED = re.compile(
    r"(?:[\[(]?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]*Z?[\])]?\s+(?:-\s+)?(?:[\w.]+\s+(?:-\s+)?)?)?"
    r"\[?(DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)\]?(?=[\s:|-]|$)"
)
_WARNING_CALL = re.compile(r"\S+:\d+: \w*Warning: ")
_LETTERS = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL"}
_ALIASES = {"WARN": "WARNING", "FATAL": "CRITICAL"}


class SeverityReader:
    """Severities of the lines of one stream, in order: a traceback is an error from its first line to its last."""

    def __init__(self) -> None:
        self._in_traceback = False

    def of(self, line: str) -> str:
        """One of SEVERITIES; INFO for a line that does not say."""
        if _TRACEBACK.match(line):
            self._in_traceback = True
            return "ERROR"
        if self._in_traceback:
            # Frames are indented; the line that names the exception is not, and is the last.
            self._in_traceback = line.startswith((" ", "\t")) or not line
            return "ERROR"
        if match := _GLOG.match(line):
            return _LETTERS[match[1] or match[2]]
        if match := _NAMED.match(line):
            return _ALIASES.get(match[1], match[1])
        if _WARNING_CALL.match(line):
            return "WARNING"
        return "INFO"
