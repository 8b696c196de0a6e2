"""`penstock serve`: answers predictions over HTTP until it is told to stop."""

from pathlib import Path

import click

from penstock.cli.output import echo_note, settings_of

__all__ = ["serve"]

_MIB = 1024 * 1024


@click.command(short_help="Answer predictions over HTTP.")
@click.option("--host", help="Address to listen on, default 127.0.0.1; others need a token.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default 8501; 0 takes a free one and prints it.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), help="Also serve gRPC there (usually 8500); 0: a free one.")
@click.option("--cluster", metavar="ADDRESS", help="Serve on this Ray cluster instead: see penstock deploy.")
@click.option("--model", "only", metavar="M", help="Serve only this model of the registry.")
@click.option("--model-dir", metavar="URI", help="Serve this bundle or exporter's folder, not the registry.")
@click.option("--model-name", metavar="M", help="Name of the model in --model-dir.")
@click.option("--workers", metavar="N|MIN:MAX", default="1", show_default=True, help="Processes; 0:4 scales by load.")
@click.option("--latency-target-ms", type=click.FloatRange(0.1), default=50, show_default=True, help="For scaling up.")
@click.option("--idle-after", type=click.FloatRange(1), default=60, show_default=True, help="Seconds until MIN 0.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token that callers must send.")
@click.option("--tokens-file", type=click.Path(path_type=Path), help="Tokens made by penstock tokens create.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate (PEM), for https.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its key (PEM).")
@click.option("--max-body-mb", type=click.FloatRange(0.001), default=16, show_default=True, help="Largest request.")
@click.option("--max-in-flight-mb", type=click.FloatRange(0.001), help="Of all requests together. [16 times that]")
@click.option("--max-instances", type=click.IntRange(1), default=100_000, show_default=True, help="Rows a request.")
@click.option("--allowed-host", multiple=True, metavar="NAME", help="Also a name of this server; * any. Repeatable.")
@click.option("--cors-origin", multiple=True, metavar="ORIGIN", help="Web pages that may ask; * for all. Repeatable.")
@click.option("--drift-threshold", type=click.FloatRange(0), default=0.2, show_default=True, help="Stability index.")
@click.option("--drift-webhook", metavar="URL", help="Told by POST when a column starts or stops to drift.")
@click.option("--sample-rate", type=click.FloatRange(0, 1), default=0, show_default=True, help="Share to be kept.")
@click.option("--sample-to", metavar="URI", help="Folder for Parquet files of sampled requests and answers.")
@click.option(
    "--access-log-rate",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Share of the successful requests that are logged, as JSON lines on stderr; failures always are.",
)
@click.pass_context
def serve(
    ctx: click.Context,
    host: str | None,
    port: int | None,
    grpc_port: int | None,
    cluster: str | None,
    only: str | None,
    model_dir: str | None,
    model_name: str | None,
    workers: str,
    latency_target_ms: float,
    idle_after: float,
    token_file: Path | None,
    tokens_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    max_body_mb: float,
    max_in_flight_mb: float | None,
    max_instances: int,
    allowed_host: tuple[str, ...],
    cors_origin: tuple[str, ...],
    drift_threshold: float,
    drift_webhook: str | None,
    sample_rate: float,
    sample_to: str | None,
    access_log_rate: float,
) -> None:
    """Answer predictions over HTTP: every model of the registry, or one bundle with --model-dir.

    New versions, a new default version and deletions are followed without a restart. Prints one line with the address
    on stdout once requests are answered.

    In a container of Vertex AI, its AIP_ variables say where to listen and what to serve.
    """
    import logging

    from penstock.errors import UsageError
    from penstock.serving.autoscaler import Scale, parse_scale
    from penstock.serving.catalog import CatalogSource, FolderSource
    from penstock.serving.control import SampleOptions
    from penstock.serving.drift_alarm import DriftOptions
    from penstock.serving.exposure import read_token_file
    from penstock.serving.limits import Limits
    from penstock.serving.server import Server, ServerOptions
    from penstock.settings import SERVING_REST_PORT
    from penstock.store import blobs

    settings = settings_of(ctx)
    if cluster is not None:
        if only is None:
            raise UsageError("--cluster serves one registered model; name it with --model")
        from penstock.cli.deploy import deploy

        ctx.invoke(
            deploy,
            model=only,
            cluster=cluster,
            autoscale=workers,
            port=port or SERVING_REST_PORT,
            token_file=token_file,
            tokens_file=tokens_file,
        )
        return
    vertex = settings.vertex
    if vertex is not None and vertex.storage_uri and model_dir is None and only is None:
        model_dir, model_name = vertex.storage_uri, model_name or "model"
    if (model_dir is None) != (model_name is None):
        raise UsageError("--model-dir and --model-name go together: the folder of a bundle, and what to call its model")
    if model_dir is not None and only is not None:
        raise UsageError("--model names a model of the registry; with --model-dir, name it with --model-name")
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together")
    if (sample_rate > 0) != (sample_to is not None):
        raise UsageError(
            "--sample-rate and --sample-to go together: the share of the requests, and the folder for them"
        )
    minimum, maximum = parse_scale(workers)
    body_bytes = int(max_body_mb * _MIB)
    limits = Limits(
        body_bytes=body_bytes,
        bodies_bytes=_share(max_in_flight_mb, body_bytes=body_bytes, workers=maximum),
        instances=max_instances,
    )
    logging.basicConfig(format="penstock: %(message)s", level=logging.INFO)
    server = Server(
        ServerOptions(
            host=host or "127.0.0.1",
            port=(SERVING_REST_PORT if vertex is None else vertex.port) if port is None else port,
            scale=Scale(
                minimum=minimum,
                maximum=maximum,
                latency_target_s=latency_target_ms / 1000,
                idle_s=idle_after,
            ),
            token=read_token_file(token_file) if token_file else settings.server_token,
            tokens_file=tokens_file,
            tls_certificate=tls_cert,
            tls_key=tls_key,
            grpc_port=grpc_port,
            access_log_rate=access_log_rate,
            allowed_hosts=(*settings.allowed_hosts, *allowed_host),
            cors_origins=cors_origin,
            predict_route=vertex.predict_route if vertex else None,
            health_route=vertex.health_route if vertex else None,
            is_guarded=vertex is not None,
            samples=SampleOptions(rate=sample_rate, folder=blobs.absolute(sample_to)) if sample_to else None,
            drift=DriftOptions(threshold=drift_threshold, webhook=drift_webhook),
            limits=limits,
        ),
        ready=lambda url: click.echo(f"serving on {url}"),
    )
    if server.grpc_address is not None:
        echo_note(f"serving gRPC on {server.grpc_address}")

    def open_source() -> CatalogSource:
        if model_dir is not None and model_name is not None:
            return FolderSource(model_dir, model_name, project=settings.project)
        from penstock.serving.registry_source import open_registry_source

        return open_registry_source(settings, only=only)

    server.run(open_source)
    echo_note("stopped")


def _share(in_flight_mb: float | None, *, body_bytes: int, workers: int) -> int:
    """Bytes of bodies that each worker may hold. Raises UsageError where that is less than one body."""
    from penstock.errors import UsageError

    if in_flight_mb is None:
        return max(16 * body_bytes // workers, body_bytes)
    share = int(in_flight_mb * _MIB) // workers
    if share < body_bytes:
        raise UsageError(
            f"--max-in-flight-mb {in_flight_mb:g} leaves each of {workers} workers {share:,} bytes, less than one "
            f"request may have ({body_bytes:,}); raise it, or lower --max-body-mb"
        )
    return share
