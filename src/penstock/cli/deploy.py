"""`penstock deploy`: a registered model as an application of Ray Serve."""

from pathlib import Path

import click

from penstock.cli.output import echo_next, echo_note, settings_of

__all__ = ["deploy"]


@click.command(short_help="Serve a model on a Ray cluster.")
@click.argument("model")
@click.option("--cluster", metavar="ADDRESS", help="The Ray cluster (PENSTOCK_RAY_ADDRESS).")
@click.option("--autoscale", metavar="MIN:MAX", help="Replicas; default: those of the version's scaling, else 1.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Of Ray Serve's proxies.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token that callers must send.")
@click.option("--tokens-file", type=click.Path(path_type=Path), help="Tokens made by penstock tokens create.")
@click.pass_context
def deploy(
    ctx: click.Context,
    model: str,
    cluster: str | None,
    autoscale: str | None,
    port: int,
    token_file: Path | None,
    tokens_file: Path | None,
) -> None:
    """Have a Ray cluster answer for MODEL: every version, on the protocols of penstock serve, behind Ray's proxies.

    Ray listens on all interfaces, so callers must send a token. Its nodes need Penstock, and must reach the registry.
    """
    from penstock.errors import UsageError
    from penstock.flows.deploy_on_ray import deploy_on_ray
    from penstock.serving.autoscaler import parse_scale
    from penstock.serving.exposure import read_token_file
    from penstock.serving.tokens import TokenFile, grant_of_token

    settings = settings_of(ctx)
    address = cluster or settings.ray_address
    if not address:
        raise UsageError("--cluster ADDRESS names the Ray cluster; try one here with: penstock cluster local --serve")
    grants = TokenFile(tokens_file).read() if tokens_file else ()
    token = read_token_file(token_file) if token_file else settings.server_token
    if token:
        grants = (*grants, grant_of_token(token))
    deploy_on_ray(
        model,
        settings=settings,
        cluster=address,
        grants=grants,
        replicas=parse_scale(autoscale, flag="--autoscale") if autoscale else None,
        port=port,
        say=echo_note,
    )
    click.echo(f"serving {model} on port {port} of every node")
    echo_next(f"penstock predict --model {model} --server http://NODE:{port} --json-instances FILE")
