"""`penstock jobs advise`: what an experiment's training takes and costs, here and on each scale tier."""

import click

from penstock.cli.gcloud import project_flags
from penstock.cli.output import echo_json, echo_note, echo_table, format_option, settings_of

__all__ = ["advise"]


@click.command(short_help="Time and cost of a training on each scale tier.")
@click.argument("experiment", metavar="EXPERIMENT.yaml")
@project_flags
@format_option
@click.pass_context
def advise(ctx: click.Context, experiment: str, output_format: str) -> None:
    """Run a few seconds of the training here; state time, cost and break-even of every tier, and what to do.

    Prices, start-up time and network come from prices.yaml in PENSTOCK_HOME; without one, those of 2017.
    """
    from penstock.flows.advise_job import advise_job
    from penstock.training.experiment import load_experiment

    found = advise_job(load_experiment(experiment), settings=settings_of(ctx), note=echo_note)
    if output_format == "json":
        echo_json(found)
        return
    rows = [["here", _duration(found.here_s), _duration(found.here_s), "", "1.0x", ""]]
    for one in found.estimates:
        breaks = f"{one.break_even_speed_up:.2f}x" if one.break_even_speed_up else "never"
        cost = f"{one.cost:,.2f} {found.currency}"
        rows.append([one.tier, _duration(one.training_s), _duration(one.total_s), cost, f"{one.speed_up:.1f}x", breaks])
    echo_table(["TIER", "TRAINING", "WITH_STARTUP", "COST", "SPEED_UP", "BREAK_EVEN"], rows)
    echo_note(f"{found.steps:,} steps of {found.step_s * 1e6:,.0f} µs here")
    click.echo(f"recommendation: {found.recommendation}")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
