"""The `--config` file of `penstock versions create`: a version in the fields of the ML Engine API, as YAML or JSON."""

from pathlib import Path

import msgspec
import yaml

from penstock.errors import ConfigError, NotFoundError, did_you_mean
from penstock.registry.records import Requested

__all__ = ["VersionConfig", "read_version_config"]


class VersionConfig(Requested, frozen=True, kw_only=True, rename="camel"):
    """What a file may set; flags of the command win over it."""

    deployment_uri: str = ""
    description: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)


def read_version_config(path: Path) -> VersionConfig:
    """Raises NotFoundError, or ConfigError naming the file and what is wrong in it."""
    try:
        # Every scalar as text, given its type by the field below: `runtimeVersion: 1.10` must not become 1.1.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - makes no objects
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if content in (None, ""):
        return VersionConfig()
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no fields; expected for example `description: second try`")
    known = tuple(field.encode_name for field in msgspec.structs.fields(VersionConfig))
    for name in content:
        if name not in known:
            raise ConfigError(
                f"{path} has a field {name!r}; expected {', '.join(known)}{did_you_mean(str(name), known)}"
            )
    try:
        config = msgspec.convert(content, VersionConfig, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path} does not describe a version: {error}") from error
    if config.auto_scaling and config.manual_scaling:
        raise ConfigError(f"{path} has both autoScaling and manualScaling; expected at most one of them")
    return config
