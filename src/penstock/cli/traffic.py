"""`penstock traffic`: which versions of a model share the requests that name none, and which one shadows them."""

from typing import Any

import click

from penstock.cli.output import echo_json, echo_note, echo_table, format_option, settings_of

__all__ = ["traffic"]


@click.command(short_help="Split a model's requests between versions, or mirror them to one.")
@click.argument("model")
@click.argument("weights", nargs=-1, metavar="[VERSION=WEIGHT]...")
@click.option("--shadow", metavar="VERSION[=SHARE]", help="Mirror requests to this version; its answers are compared.")
@click.option("--clear", is_flag=True, help="The default version gets all requests again, and nothing is mirrored.")
@format_option
@click.pass_context
def traffic(
    ctx: click.Context, model: str, weights: tuple[str, ...], shadow: str | None, clear: bool, output_format: str
) -> None:
    """Show or change how requests that name no version of MODEL are shared: penstock traffic housing v1=90 v2=10.

    Running servers follow within a second. A shadow gets a copy of the requests, all of them or the SHARE given; what
    it answers is compared with what the caller got (penstock_shadow_requests_total in /metrics) and never returned.
    """
    from penstock.errors import UsageError
    from penstock.registry.registry import open_registry
    from penstock.serving.traffic import SHADOW_LABEL, TRAFFIC_LABEL, format_weights, parse_weights, traffic_of

    if clear and (weights or shadow):
        raise UsageError("--clear goes alone; give versions with weights, or --shadow, to change what there is")
    with open_registry(settings_of(ctx)) as registry:

        def numbered(text: str, *, default: str | None = None) -> tuple[int, float]:
            name, _, weight = text.rpartition("=") if "=" in text or default is None else (text, "", default)
            number = registry.resolve(model, int(name) if name.isdecimal() else name).number
            return parse_weights(f"{number}={weight}")[0]

        changes: dict[str, str | None] = {}
        if clear:
            changes = {TRAFFIC_LABEL: None, SHADOW_LABEL: None}
        if weights:
            split = dict(numbered(text) for text in weights if not text.endswith("=0"))
            changes[TRAFFIC_LABEL] = format_weights(split)
        if shadow:
            number, share = numbered(shadow, default="1")
            if share > 1:
                raise UsageError(f"--shadow {shadow} is more than all requests; expected a share up to 1, such as 0.1")
            changes[SHADOW_LABEL] = format_weights({number: share})
        if changes:
            registry.update_model(model, labels=changes)
        known = registry.get_model(model)
        versions = {version.number: version for version in registry.list_versions(model).items}
    shared, mirrored = traffic_of(known.labels, versions)
    default = known.default_version
    if not shared and default is not None:
        shared = ((default.number, 1.0),)
    total = sum(weight for _, weight in shared)
    rows: list[dict[str, Any]] = [
        {
            "version": version.name,
            "number": number,
            "is_default": version.is_default,
            "share": round(dict(shared).get(number, 0.0) / total, 6) if total else 0.0,
            "shadow": mirrored[1] if mirrored and mirrored[0] == number else 0.0,
        }
        for number, version in versions.items()
    ]
    if output_format == "json":
        echo_json({"model": model, "traffic": rows})
    elif rows:
        cells = [
            [row["version"], f"{row['share']:.1%}", f"{row['shadow']:.1%}" if row["shadow"] else "", row["is_default"]]
            for row in rows
        ]
        echo_table(["VERSION", "SHARE", "SHADOW", "DEFAULT"], cells)
    else:
        echo_note(f"model {model!r} has no versions yet")
