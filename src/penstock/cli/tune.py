"""`penstock tune`: an experiment file in, its best parameters out, trained with them and on request registered."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.output import echo_json, echo_next, echo_note, echo_table, format_option, settings_of

if TYPE_CHECKING:
    from penstock.flows.tune import Tuned

__all__ = ["tune"]


@click.command(short_help="Search an experiment's parameters; train and register the best.")
@click.argument("experiment", metavar="EXPERIMENT.yaml")
@click.option("--trials", type=click.IntRange(1), metavar="N", help="Trials in all; default 50.")
@click.option("--parallel", type=click.IntRange(1), metavar="P", help="Trials at a time; default 1.")
@click.option("--timeout", metavar="10m", help="Begin no trial, and let none go on, after that long.")
@click.option("--algorithm", type=click.Choice(["tpe", "gp", "random", "grid"]), help="How to search; default tpe.")
@click.option("--pruner", type=click.Choice(["asha", "median", "none"]), help="What ends hopeless trials early.")
@click.option("--folds", type=click.IntRange(2), metavar="K", help="Cross-validate instead of holding rows out once.")
@click.option("--cluster", metavar="ADDRESS", help="Ray cluster for the trials (PENSTOCK_RAY_ADDRESS); default: here.")
@click.option("--name", metavar="STUDY", help="Name of the study; default: the file's.")
@click.option("--resume", is_flag=True, help="Go on with the study of that name, every finished trial counted once.")
@click.option("--register", metavar="MODEL", help="Register the winner as a version of this model, made if new.")
@click.option("--version", "version_name", metavar="V", help="Name of that version; default v1, v2, …")
@click.option("--set-default", is_flag=True, help="Make that version the one that answers when none is named.")
@format_option
@click.pass_context
def tune(ctx: click.Context, /, experiment: str, output_format: str, **given: Any) -> None:
    """Search the parameters of EXPERIMENT.yaml, in its `tuning:` section's space or a built-in one; train the best.

    Ctrl-C ends the search; what has been found so far is told, and --resume goes on from there.
    """
    import sys

    import msgspec

    from penstock.cli.tune_table import live_table
    from penstock.flows.publish import check_can_publish, publish
    from penstock.flows.tune import tune_experiment
    from penstock.flows.tuning_report import write_report
    from penstock.training.experiment import load_experiment

    settings = settings_of(ctx)
    loaded = load_experiment(experiment)
    register = given["register"]
    if register is not None:
        check_can_publish(register, version_name=given["version_name"], settings=settings)
    names = ("trials", "parallel", "timeout", "algorithm", "pruner", "folds")
    changes = {name: given[name] for name in names if given[name] is not None}
    name = given["name"] or Path(experiment).stem
    with live_table() as watch:
        tuned = tune_experiment(
            loaded,
            settings=settings,
            name=name,
            changes=changes,
            resume=given["resume"],
            cluster=given["cluster"] or settings.ray_address,
            note=echo_note,
            watch=watch,
        )
    report = write_report(tuned)
    version = None
    if tuned.trained is not None and register is not None:
        version = publish(
            tuned.trained.uri,
            model=register,
            version_name=given["version_name"],
            set_default=given["set_default"],
            configuration={
                **msgspec.to_builtins(tuned.experiment),
                "study": {"name": name, "trial": tuned.best.number, "trials": len(tuned.trials)},
            },
            settings=settings,
        )
    if output_format == "json":
        echo_json({**_content(tuned), "report": str(report), "version": None if version is None else version.name})
    else:
        _echo(tuned, str(report))
        if version is not None:
            click.echo(f"version {version.name} of model {register}")
            echo_next("penstock serve")
    if tuned.trained is None:
        echo_note("stopped; the best so far is told, and not trained to its end")
        echo_next(f"penstock tune {quote(str(experiment))} --name {quote(name)} --resume")
        sys.exit(130)


def _content(tuned: "Tuned") -> dict[str, Any]:
    trained = tuned.trained
    return {
        "study": tuned.study,
        "goal": tuned.specification.goal,
        "metric": tuned.specification.metric,
        "best": _trial(tuned.best),
        "trials": [_trial(trial) for trial in tuned.trials],
        "bundle": None if trained is None else trained.uri,
        "modelDir": None if trained is None else trained.model_dir,
        "metrics": None if trained is None else trained.manifest.metrics,
    }


def _trial(trial: Any) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state.value,
        "value": trial.value,
        "parameters": trial.parameters,
        "step": trial.reports[-1][0] if trial.reports else None,
        "attempts": trial.attempts,
        "seconds": round(trial.seconds, 3),
        "failure": trial.failure or None,
    }


def _echo(tuned: "Tuned", report: str) -> None:
    best, metric = tuned.best, tuned.specification.metric
    rows = [[name, f"{value:g}" if isinstance(value, float) else value] for name, value in best.parameters.items()]
    echo_table(["PARAMETER", f"BEST OF {len(tuned.trials)} TRIALS (trial {best.number})"], rows)
    click.echo(f"{metric} {best.value:,.6g} on the rows that trials are measured on")
    if tuned.trained is not None:
        for name, value in tuned.trained.manifest.metrics.items():
            if name in ("rmse", "accuracy", "auc", metric):
                click.echo(f"{name} {value:,.6g} of the winner, trained anew, on the experiment's held-out rows")
        click.echo(f"bundle  {tuned.trained.uri}")
    click.echo(f"report  {report}")
    echo_note(f"look inside: penstock tensorboard {tuned.folder}")
