"""`penstock import`: another library's model as a bundle."""

import click

from penstock.cli.output import echo_json, echo_next, echo_note, format_option, settings_of

__all__ = ["import_"]

_TASKS = ["regression", "binary_classification", "multiclass_classification", "other"]


@click.command("import", short_help="Another library's model as a bundle.")
@click.argument("source")
@click.option("--output", metavar="BUNDLE", help="Folder to write, made if new; default the source's name, here.")
@click.option("--columns", metavar="A,B,…", help="Names for the values of the model's one packed input.")
@click.option(
    "--classes", metavar="A,B,…", help="Class names in the order of the model's outputs, or @FILE: one a line."
)
@click.option("--task", type=click.Choice(_TASKS), help="What the model does, where the source does not say.")
@click.option("--signature", default="", metavar="NAME", help="Of a SavedModel; default serving_default.")
@click.option("--register", metavar="MODEL", help="Register the bundle as a version of this model, made if new.")
@click.option("--version", "version_name", metavar="V", help="Name of that version; default v1, v2, …")
@click.option("--set-default", is_flag=True, help="Make that version the one that answers when none is named.")
@click.option("--pack", metavar="NAME", help="Keep it as a pack, by whose name estimators find it as a backbone.")
@format_option
@click.pass_context
def import_(
    ctx: click.Context,
    source: str,
    output: str | None,
    columns: str | None,
    classes: str | None,
    task: str | None,
    signature: str,
    register: str | None,
    version_name: str | None,
    set_default: bool,
    pack: str | None,
    output_format: str,
) -> None:
    """Make a bundle of SOURCE: a file .onnx, .keras, .tflite, .txt (LightGBM), .json or .ubj (XGBoost), or the folder
    of a TensorFlow SavedModel.

    The bundle is written only where it answers as the source's own library does. Pickles are never read.
    """
    from pathlib import Path

    from penstock.bundle.manifest import BundleKind, Task
    from penstock.errors import UsageError
    from penstock.estimators.packs import pack_place
    from penstock.flows.import_model import import_file
    from penstock.flows.publish import check_can_publish, publish

    settings = settings_of(ctx)
    if pack is not None and output is not None:
        raise UsageError("--pack and --output both say where the bundle goes; expected one of them")
    if register is not None:
        check_can_publish(register, version_name=version_name, settings=settings)
    place = output or (str(pack_place(pack, settings=settings)) if pack is not None else Path(source).stem + ".bundle")
    manifest = import_file(
        source,
        output=place,
        columns=_names(columns),
        classes=_names(classes),
        task=None if task is None else Task(task),
        signature=signature,
        kind=BundleKind.PACK if pack is not None else BundleKind.IMPORTED,
    )
    version = None
    if register is not None:
        version = publish(place, model=register, version_name=version_name, set_default=set_default, settings=settings)
    if output_format == "json":
        echo_json(
            {
                "bundle": place,
                "source": manifest.estimator,
                "task": manifest.task,
                "inputs": [column.name for column in manifest.signature.inputs],
                "outputs": [tensor.name for tensor in manifest.signature.outputs],
                "model": register,
                "version": None if version is None else version.name,
            }
        )
        return
    click.echo(f"bundle  {place}")
    for column in manifest.signature.inputs[:20]:
        sizes = f" of {list(column.shape)}" if column.shape else ""
        echo_note(f"takes   {column.name}: {column.type}{sizes}")
    if len(manifest.signature.inputs) > 20:
        echo_note(f"        and {len(manifest.signature.inputs) - 20} more columns")
    for tensor in manifest.signature.outputs:
        echo_note(f"answers {tensor.name}: {tensor.dtype} {['N' if size is None else size for size in tensor.shape]}")
    if "parity.json" not in manifest.files:
        echo_note("its answers were compared with nothing: the file has no runtime but the one that serves it")
    if version is not None:
        click.echo(f"version {version.name} of model {register}")
        echo_next("penstock serve")
    elif pack is None:
        echo_next(f"penstock serve --model-dir {place} --model-name NAME")


def _names(value: str | None) -> tuple[str, ...]:
    """Names parted by commas, or the lines of a file."""
    from pathlib import Path

    from penstock.errors import NotFoundError, UsageError

    if value is None:
        return ()
    if value.startswith("@"):
        try:
            lines = Path(value[1:]).read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise NotFoundError(f"{value[1:]} cannot be read: {error.strerror}") from error
        names = [line.strip() for line in lines if line.strip()]
    else:
        names = [name.strip() for name in value.split(",")]
    if not all(names):
        raise UsageError(f"{value!r} has an empty name; expected names parted by commas")
    return tuple(names)
