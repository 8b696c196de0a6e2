"""What a tuning leaves to look at: a page of plots, and its trials in TensorBoard's HParams."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.estimators.summaries import SummaryWriter
from penstock.store.blobs import replace_file
from penstock.tuning.plots import study_page

if TYPE_CHECKING:
    from penstock.flows.tune import Tuned

__all__ = ["write_report"]


def write_report(tuned: "Tuned") -> Path:
    """Writes `report.html` and the folder `hparams` of the study; returns the page."""
    summaries = tuned.folder / "hparams"
    shutil.rmtree(summaries, ignore_errors=True)
    for trial in tuned.trials:
        if not trial.reports:
            continue
        name = f"trial-{trial.number}"
        with SummaryWriter(summaries / name, first_step=0) as writer:
            writer.hyperparameters(_plain(trial.parameters), trial=name)
            for step, value in trial.reports:
                writer.scalars({tuned.specification.metric: value}, step)
    page = tuned.folder / "report.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    replace_file(page, study_page(tuned.study, tuned.specification, tuned.trials).encode())
    return page


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in values.items()
    }
