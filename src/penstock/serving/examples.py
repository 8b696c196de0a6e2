"""TensorFlow Serving's `:classify` and `:regress`: examples of features in, labels with scores or one number out."""

import numpy as np
import orjson

from penstock.bundle.manifest import Manifest, Task
from penstock.runtime.values import shorten
from penstock.serving.answers import Answers
from penstock.serving.compression import unpacked_body
from penstock.serving.exchange import Exchange
from penstock.serving.lanes import Ask, Lane
from penstock.serving.predicting import check_signature_name, list_under, read_object
from penstock.serving.refusals import Code, Refusal
from penstock.serving.router import WireProtocol

__all__ = ["ask_examples"]


def ask_examples(lane: Lane, exchange: Exchange, protocol: WireProtocol, *, verb: str) -> None:
    """Queues the examples of a body. verb: classify or regress. Raises Refusal or InstanceError."""
    manifest = lane.model.manifest
    fitting = "regress" if manifest.task is Task.REGRESSION else "classify"
    if verb != fitting:
        raise Refusal(Code.INVALID_ARGUMENT, f"{lane.model_name} is a model of {manifest.task}; ask it to :{fitting}")
    request = read_object(unpacked_body(exchange, limit_bytes=lane.limits.body_bytes))
    check_signature_name(request)
    context = request.get("context", {})
    if not isinstance(context, dict):
        raise Refusal(Code.INVALID_ARGUMENT, f"'context' is {shorten(context)}; expected an object of features")
    examples = list_under("examples", request, missing="Missing 'examples' key")
    rows = [context | example if isinstance(example, dict) else example for example in examples]
    batch = lane.model.decode(rows)

    def respond(exchange: Exchange, answers: Answers, start: int, stop: int) -> None:
        results = _regressed(answers, start, stop) if verb == "regress" else _classified(manifest, answers, start, stop)
        exchange.respond(200, b'{"results": ' + results + b"}")

    lane.ask(Ask(exchange, respond=respond, refuse=protocol.refuse, batch=batch))


def _regressed(answers: Answers, start: int, stop: int) -> bytes:
    """One number an example."""
    values = answers.outputs.get("predictions", next(iter(answers.outputs.values())))
    return Answers({"value": values.reshape(len(values), -1)[:, 0]}).rows(start, stop, bare=True)


def _classified(manifest: Manifest, answers: Answers, start: int, stop: int) -> bytes:
    """A list of `[label, score]` an example, in the order of the classes."""
    scores = answers.outputs.get("probabilities")
    if scores is None:
        raise Refusal(Code.INVALID_ARGUMENT, "the model gives no probabilities, so it cannot classify; ask :predict")
    labels = manifest.classes or tuple(str(index) for index in range(scores.shape[1]))
    return orjson.dumps(
        [[[label, np.float32(score)] for label, score in zip(labels, row, strict=True)] for row in scores[start:stop]],
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
