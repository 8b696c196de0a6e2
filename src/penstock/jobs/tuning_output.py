"""What a tuning's driver tells of its trials, for `describe`: a file in the job's folder, replaced at each change."""

import json
from pathlib import Path
from typing import Any

__all__ = ["OUTPUT_NAME", "tuning_output"]

OUTPUT_NAME = "training-output.json"


def tuning_output(folder: str | Path) -> dict[str, Any]:
    """The tuning's part of ML Engine's TrainingOutput; nothing for a job that is no tuning."""
    try:
        found: dict[str, Any] = json.loads((Path(folder) / OUTPUT_NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return found
