"""`penstock monitor`: how far the values callers send lie from those a model was trained on."""

import click

from penstock.cli.output import echo_json, echo_note, echo_table, format_option, settings_of

__all__ = ["monitor"]


@click.command(short_help="How far callers' values have drifted from the training data.")
@click.argument("model")
@click.option("--server", metavar="URL", help="The server to ask (PENSTOCK_SERVER_URL, default this machine's 8501).")
@format_option
@click.pass_context
def monitor(ctx: click.Context, model: str, server: str | None, output_format: str) -> None:
    """Print every column of MODEL with its stability index (PSI) and divergence (JS) over the last hour.

    An index below 0.1 is no change, up to 0.2 a small one, and above a reason to look.
    """
    import httpx
    import msgspec

    from penstock.errors import ServiceError
    from penstock.serving.drift import VersionDrift

    settings = settings_of(ctx)
    url = (server or settings.server_url).rstrip("/")
    headers = {"authorization": f"Bearer {settings.token}"} if settings.token else {}
    try:
        answer = httpx.get(f"{url}/monitoring/drift/{model}", headers=headers, timeout=30)
    except httpx.HTTPError as error:
        raise ServiceError(f"there is no prediction server at {url}: {error}; start one with penstock serve") from error
    if answer.status_code != httpx.codes.OK:
        try:
            reason = answer.json()["error"]
        except (ValueError, LookupError, TypeError):
            reason = answer.text[:200]
        raise ServiceError(f"{url} answered {answer.status_code}: {reason}", status=answer.status_code)
    versions = msgspec.convert(answer.json()["versions"], list[VersionDrift])
    if output_format == "json":
        echo_json({"model": model, "versions": versions})
        return
    if not versions:
        echo_note(f"{model} was not asked in the last hour, or its bundle has no profile to compare with")
    for version in versions:
        echo_note(
            f"{model} version {version.version}: {version.rows:,} rows in the last {version.window_s / 60:g} minutes"
        )
        rows = [
            [
                column.column,
                f"{column.psi:.3f}",
                f"{column.js:.3f}",
                f"{column.missing_then:.1%} -> {column.missing:.1%}",
                "drifting" if column.is_drifting else "",
            ]
            for column in version.columns
        ]
        echo_table(["COLUMN", "PSI", "JS", "MISSING", "STATE"], rows)
