"""`penstock train`: an experiment file in, a bundle and on request a registered version out."""

from shlex import quote

import click

from penstock.cli.output import echo_json, echo_next, echo_note, echo_table, format_option, settings_of

__all__ = ["train"]

_SHOWN_COLUMNS = 10


@click.command(short_help="Train an experiment; register the result.")
@click.argument("experiment", metavar="EXPERIMENT.yaml")
@click.option("--register", metavar="MODEL", help="Register the bundle as a version of this model, made if new.")
@click.option("--version", "version_name", metavar="V", help="Name of that version; default v1, v2, …")
@click.option("--set-default", is_flag=True, help="Make that version the one that answers when none is named.")
@click.option("--model-dir", metavar="URI", help="Folder of checkpoints, summaries and exports.")
@format_option
@click.pass_context
def train(
    ctx: click.Context,
    experiment: str,
    register: str | None,
    version_name: str | None,
    set_default: bool,
    model_dir: str | None,
    output_format: str,
) -> None:
    """Train what EXPERIMENT.yaml describes; measure its error on rows it has not seen; write a bundle.

    A training that was stopped goes on where it was when the same experiment is trained again.
    """
    import msgspec

    from penstock.flows.publish import check_can_publish, publish
    from penstock.flows.train import train_experiment
    from penstock.training.experiment import load_experiment

    settings = settings_of(ctx)
    loaded = load_experiment(experiment)
    if register is not None:
        check_can_publish(register, version_name=version_name, settings=settings)
    trained = train_experiment(loaded, settings=settings, model_dir=model_dir, note=echo_note)
    version = None
    if register is not None:
        version = publish(
            trained.uri,
            model=register,
            version_name=version_name,
            set_default=set_default,
            configuration=msgspec.to_builtins(loaded),
            settings=settings,
        )
    manifest = trained.manifest
    if output_format == "json":
        echo_json(
            {
                "bundle": trained.uri,
                "modelDir": trained.model_dir,
                "task": manifest.task,
                "globalStep": manifest.global_step,
                "metrics": manifest.metrics,
                "importance": trained.importance,
                "model": register,
                "version": None if version is None else version.name,
            }
        )
        return
    unit = manifest.label.unit if manifest.label and manifest.label.unit else ""
    echo_table(
        ["METRIC", "ON ROWS HELD OUT"],
        [[name, f"{value:,.6g} {unit if name in ('rmse', 'mae') else ''}"] for name, value in manifest.metrics.items()],
    )
    if trained.importance:
        rise = "RMSE" if manifest.task == "regression" else "LOG LOSS"
        shown = list(trained.importance.items())[:_SHOWN_COLUMNS]
        click.echo()
        echo_table(["COLUMN", f"{rise} RISES BY, WERE IT SHUFFLED"], [[name, f"{value:,.4g}"] for name, value in shown])
        if len(trained.importance) > len(shown):
            echo_note(f"{len(trained.importance) - len(shown)} more columns: --format json")
        click.echo()
    click.echo(f"bundle  {trained.uri}")
    if version is None:
        echo_next(
            f"penstock train {quote(str(experiment))} --register NAME, "
            f"or: penstock local predict --model-dir {quote(trained.uri)} …"
        )
    else:
        click.echo(f"version {version.name} of model {register}")
        if not version.is_default:
            command = f"penstock versions set-default {version.name} --model {register}"
            echo_note(f"it answers when it is named; to make it the default: {command}")
        echo_next("penstock serve")
    echo_note(f"look inside: penstock tensorboard {quote(str(trained.model_dir))}")
