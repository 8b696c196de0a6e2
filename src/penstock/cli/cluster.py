"""`penstock cluster`: a cluster to run jobs on."""

import click

from penstock.cli.output import echo_next, echo_note, settings_of

__all__ = ["cluster"]


@click.group(short_help="A Ray cluster to run jobs on.")
def cluster() -> None:
    """Jobs go to a Ray cluster with `--cluster ADDRESS` or PENSTOCK_RAY_ADDRESS."""


@cluster.command(short_help="A Ray cluster on this machine.")
@click.option("--port", type=click.IntRange(1, 65535), default=8265, show_default=True, help="Of its job server.")
@click.option("--cpus", type=click.IntRange(1), metavar="N", help="Cores that Ray is told of; default 64.")
@click.option("--elastic", type=click.IntRange(1), metavar="N", help="Up to N pretended machines, started on demand.")
@click.option("--serve", "serves", is_flag=True, help="Fast Ray Serve for penstock deploy; listens on all interfaces.")
@click.pass_context
def local(ctx: click.Context, port: int, cpus: int | None, elastic: int | None, serves: bool) -> None:
    """Run a Ray cluster here until Ctrl-C, to try jobs on one before there is a real one.

    It listens on loopback and asks for a token, which jobs submitted with the same PENSTOCK_HOME know.
    """
    from penstock.flows.local_cluster import run_local_cluster

    def ready(address: str) -> None:
        echo_note(f"a Ray cluster runs at {address} until Ctrl-C")
        echo_next(f"penstock jobs submit training NAME --cluster {address} …")

    run_local_cluster(settings_of(ctx), port=port, ready=ready, cpus=cpus, elastic=elastic or 0, serves=serves)
