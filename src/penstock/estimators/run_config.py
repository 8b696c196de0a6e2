"""How a training runs, apart from what is trained: folder, seed, checkpoints, summaries, progress."""

from dataclasses import dataclass, field, replace
from typing import Any

from penstock.errors import UsageError
from penstock.estimators.memory import TrialMemory

__all__ = ["RunConfig"]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Names and meanings of `tf.estimator.RunConfig`; what only made sense to TensorFlow's sessions is left out.

    model_dir: folder of checkpoints, summaries and exports.
    tf_random_seed: of weights, shuffles, dropout and splits; also accepted as `seed`.
    save_summary_steps: training loss goes to TensorBoard every so many steps.
    save_checkpoints_steps: checkpoints every so many steps; None: every `save_checkpoints_secs` seconds.
    keep_checkpoint_max: newest checkpoints kept; 0 keeps all.
    log_step_count_steps: accepted for older trainers; the progress bar tells steps per second.
    show_progress: None shows the bar on a terminal only.
    memory: of a tuning whose trial this training is: no files are written then.
    """

    model_dir: str | None = None
    tf_random_seed: int = 0
    save_summary_steps: int = 100
    save_checkpoints_steps: int | None = None
    save_checkpoints_secs: float = 600.0
    keep_checkpoint_max: int = 5
    log_step_count_steps: int | None = 100
    show_progress: bool | None = None
    memory: TrialMemory | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("save_summary_steps", "save_checkpoints_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"RunConfig: {name} is {value}; expected at least 1")
        if self.save_checkpoints_secs <= 0:
            raise UsageError(f"RunConfig: save_checkpoints_secs is {self.save_checkpoints_secs}; expected more than 0")
        if not 0 <= self.tf_random_seed < 2**31:
            raise UsageError(f"RunConfig: tf_random_seed is {self.tf_random_seed}; expected 0 to {2**31 - 1}")

    @property
    def seed(self) -> int:
        return self.tf_random_seed

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with these values changed."""
        return replace(self, **changes)
