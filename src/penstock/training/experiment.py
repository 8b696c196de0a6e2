"""An experiment file (YAML): data, label, features, estimator, training, split. Knows nothing of how each is done."""

import re
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from penstock.data.databases import starting_from
from penstock.data.documents import explain
from penstock.errors import ConfigError, NotFoundError, StoreError
from penstock.store import blobs

__all__ = [
    "PHOTO_ESTIMATOR",
    "DataSection",
    "EstimatorSection",
    "Experiment",
    "LabelSection",
    "SplitSection",
    "TrainingSection",
    "load_experiment",
    "parse_experiment",
]


PHOTO_ESTIMATOR = "ImageClassifier"
"""The estimator whose data are photos and no table."""


class DataSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the rows are.

    source: a file, a glob, a URI, or several; empty only where `recipe` names it.
    evaluation: rows to evaluate on; without it `split` holds some out.
    read: overrides of what reading detects (delimiter, header, encoding, null_marks, types …).
    recipe: a recipe file; the rows go through it first, and its steps travel with the model. Empty for none.
    """

    source: str | list[str] = ""
    evaluation: str | list[str] | None = None
    read: dict[str, Any] = {}
    recipe: str = ""


class LabelSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """missing: what becomes of rows without a label; unit: for people ("dollars")."""

    name: str
    missing: Literal["error", "drop"] = "error"
    unit: str | None = None


class EstimatorSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """type: class name in `penstock.estimator`. parameters: its keyword arguments."""

    type: str = "DNNRegressor"
    parameters: dict[str, Any] = {}


class TrainingSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """max_steps: optimizer steps. batch_size: rows a step; "all" for the whole table. seed: of weights and shuffles.

    memory_limit_mb: put over PENSTOCK_TRAINING_MEMORY_MB; a table that does not fit is streamed in batches.
    """

    max_steps: int | None = None
    batch_size: int | Literal["all"] | None = None
    seed: int = 0
    weight: str | None = None
    memory_limit_mb: int | None = None


class SplitSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """evaluation: share of rows held out, between 0 and 1. seed: of the draw."""

    evaluation: float = 0.2
    seed: int = 0


class Experiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One experiment.

    features: "auto", or how to treat each column that is to be used.
    serving: what callers send where it is not the training columns; compiled to steps in front of the model.
    tuning: how its parameters are searched for; read by `tuning.section`.
    """

    data: DataSection
    label: LabelSection
    task: Literal["auto", "regression", "binary_classification", "multiclass_classification"] = "auto"
    features: Literal["auto"] | dict[str, Any] = "auto"
    estimator: EstimatorSection = EstimatorSection()
    training: TrainingSection = TrainingSection()
    split: SplitSection = SplitSection()
    serving: Any = None
    tuning: Any = None


def load_experiment(place: str | Path) -> Experiment:
    """The experiment in a file or at a URI. Relative paths in it are taken from the file's folder.

    Raises ConfigError naming the field at fault.
    """
    folder = blobs.absolute(str(place)).rpartition("/")[0]
    try:
        text = blobs.read_uri(str(place)).decode("utf-8")
    except NotFoundError:
        raise ConfigError(
            f"there is no experiment file {str(place)!r}; write one with: penstock init DATA.csv --label LABEL"
        ) from None
    except (StoreError, UnicodeDecodeError) as error:
        raise ConfigError(f"experiment file {str(place)!r} cannot be read: {error}") from None
    return parse_experiment(text, name=str(place), folder=folder)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 with the numbers of 1.2: 1e-4, which people write for a learning rate, is no text. `yes` and `no` are
    words where they name something: a class, a column.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:bool":
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_experiment(text: str, *, name: str = "experiment", folder: str = "") -> Experiment:
    """The experiment in a YAML text."""
    try:
        content = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{name} holds no experiment; expected the sections data and label at least")
    if isinstance(content.get("label"), str):
        content["label"] = {"name": content["label"]}
    if isinstance(content.get("data"), str):
        content["data"] = {"source": content["data"]}
    if isinstance(content.get("estimator"), str):
        content["estimator"] = {"type": content["estimator"]}
    elif isinstance(content.get("estimator"), dict):
        content["estimator"] = _gather_parameters(content["estimator"])
    if isinstance(content.get("estimator"), dict) and content["estimator"].get("type") == PHOTO_ESTIMATOR:
        # Folders of photos have no column names: a photo is called by its folder.
        content.setdefault("label", {"name": "class"})
    try:
        experiment = msgspec.convert(content, Experiment)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {explain(error, Experiment, whole='an experiment')}") from None
    if not experiment.data.source and not experiment.data.recipe:
        raise ConfigError(f"{name}: section 'data' names no rows; expected source: FILE, or recipe: FILE")
    if not 0 < experiment.split.evaluation < 1:
        share = experiment.split.evaluation
        raise ConfigError(f"{name}: split.evaluation is {share}; expected a share of the rows between 0 and 1")
    steps = experiment.training.max_steps
    if steps is not None and steps < 1:
        raise ConfigError(f"{name}: training.max_steps is {steps}; expected at least 1")
    batch = experiment.training.batch_size
    if isinstance(batch, int) and batch < 1:
        raise ConfigError(f"{name}: training.batch_size is {batch}; expected at least 1, or all")
    limit = experiment.training.memory_limit_mb
    if limit is not None and limit < 1:
        raise ConfigError(f"{name}: training.memory_limit_mb is {limit}; expected at least 1")
    return _resolve_paths(experiment, folder)


def _gather_parameters(section: dict[str, Any]) -> dict[str, Any]:
    """In the file an estimator's arguments stand beside its type."""
    known = {"type", "parameters"}
    loose = {key: value for key, value in section.items() if key not in known}
    kept = {key: value for key, value in section.items() if key in known}
    if loose:
        kept["parameters"] = {**kept.get("parameters", {}), **loose}
    return kept


def _resolve_paths(experiment: Experiment, folder: str) -> Experiment:
    def resolve(source: str | list[str]) -> str | list[str]:
        if isinstance(source, list):
            return [str(resolve(one)) for one in source]
        if source.startswith("sqlite:///"):
            return starting_from(Path(folder), source)
        if "://" in source or Path(source).is_absolute():
            return source
        return f"{folder}/{source}" if folder else source

    data = experiment.data
    evaluation = None if data.evaluation is None else resolve(data.evaluation)
    data = msgspec.structs.replace(
        data,
        source=resolve(data.source) if data.source else "",
        evaluation=evaluation,
        recipe=str(resolve(data.recipe)) if data.recipe else "",
    )
    experiment = msgspec.structs.replace(experiment, data=data)
    backbone = experiment.estimator.parameters.get("backbone")
    if isinstance(backbone, str) and blobs.is_local(folder) and (Path(folder) / backbone).exists():
        # Else it is the name of a pack.
        parameters = {**experiment.estimator.parameters, "backbone": str(Path(folder) / backbone)}
        chosen = msgspec.structs.replace(experiment.estimator, parameters=parameters)
        experiment = msgspec.structs.replace(experiment, estimator=chosen)
    return experiment
