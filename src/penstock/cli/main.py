"""Entry point: finds the command by name, loads only its module, turns errors into one paragraph and an exit status."""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from penstock.errors import PenstockError, UsageError
from penstock.version import __version__

__all__ = ["LazyGroup", "main", "penstock"]


class LazyGroup(click.Group):
    """A group whose commands are imported when called; their one-line help is known beforehand."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        """lazy: command name to ("module:attribute", one-line help)."""
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, attribute = self._lazy[cmd_name][0].split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            own = [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
            formatter.write_dl([*((name, text) for name, (_, text) in self._lazy.items()), *own])


COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("penstock.cli.demo:demo", "From the packaged housing data to two live predictions."),
    "init": ("penstock.cli.init:init", "Write an experiment file or a trainer package for a table."),
    "data": ("penstock.cli.data:data", "Profile, check, preview and prepare tables."),
    "train": ("penstock.cli.train:train", "Train an experiment; register the result."),
    "tune": ("penstock.cli.tune:tune", "Search an experiment's parameters; train and register the best."),
    "local": ("penstock.cli.local:local", "Train or predict in this process."),
    "jobs": ("penstock.cli.jobs:jobs", "Submit, list, describe, cancel jobs; read their logs."),
    "cluster": ("penstock.cli.cluster:cluster", "A Ray cluster to run jobs on."),
    "models": ("penstock.cli.models:models", "Create, list, describe and delete models."),
    "versions": ("penstock.cli.versions:versions", "Create, list, describe and delete versions of a model."),
    "import": ("penstock.cli.import_:import_", "Another library's model as a bundle."),
    "export": ("penstock.cli.export:export", "A bundle as ONNX, SavedModel, LiteRT, Docker or Kubernetes files."),
    "deploy": ("penstock.cli.deploy:deploy", "Serve a model on a Ray cluster."),
    "serve": ("penstock.cli.serve:serve", "Answer predictions over HTTP."),
    "tokens": ("penstock.cli.tokens:tokens", "Create, list and revoke tokens of prediction servers."),
    "monitor": ("penstock.cli.monitor:monitor", "How far callers' values have drifted from the training data."),
    "traffic": ("penstock.cli.traffic:traffic", "Split a model's requests between versions, or mirror them to one."),
    "predict": ("penstock.cli.predict:predict", "Ask a prediction service."),
    "explain": ("penstock.cli.explain:explain", "Which columns a prediction comes from."),
    "tensorboard": ("penstock.cli.tensorboard:tensorboard", "Look at a training in TensorBoard."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="penstock")
@click.option("--project", metavar="P", help="Owner of models and jobs (PENSTOCK_PROJECT, default local).")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure; may stand anywhere.")
@click.pass_context
def penstock(ctx: click.Context, project: str | None, debug: bool) -> None:  # noqa: ARG001 - main() takes it out
    """From a raw table to a live prediction service."""
    ctx.obj = {"project": project}


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line. Exits 0 when done, 1 when it failed, 2 on misuse, 130 on Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    wants_traceback = _take_debug(words)
    try:
        status = penstock.main(words, prog_name="penstock", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Abort:
        _say("stopped")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except PenstockError as error:
        if wants_traceback:
            raise
        _say(str(error))
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        _say("stopped")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if wants_traceback:
            raise
        _say(_unforeseen(error))
        sys.exit(1)


def _unforeseen(error: Exception) -> str:
    """A library that a serving-only installation leaves out, or a bug."""
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("penstock"):
        return f"this command needs {error.name!r}, which this installation leaves out: pip install penstock"
    return (
        f"this is a bug in Penstock: {type(error).__name__}: {error}. "
        "Run the command again with --debug and report what it prints"
    )


def _take_debug(words: list[str]) -> bool:
    """Takes `--debug` out of the words; those after `--` are a trainer's own."""
    own = words[: words.index("--")] if "--" in words else words
    if "--debug" not in own:
        return False
    words.remove("--debug")
    return True


def _say(message: str) -> None:
    click.echo(f"penstock: {message}", err=True)


if __name__ == "__main__":
    main()
