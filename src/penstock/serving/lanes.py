"""A loaded version and the requests waiting for it: what waits together is run together, in one call of the graph."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from time import monotonic, thread_time
from typing import Any, Protocol

from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch, concatenate
from penstock.errors import PenstockError
from penstock.runtime.model import LoadedModel
from penstock.runtime.rows import Row
from penstock.serving.answers import Answers
from penstock.serving.catalog import ServedVersion
from penstock.serving.exchange import Exchange
from penstock.serving.limits import Limits
from penstock.serving.refusals import Code, Refusal, refusal_of
from penstock.serving.sketches import Sketch

__all__ = ["Ask", "Lane", "Respond"]

# Longer calls run beside the main loop, which meanwhile takes in the requests of the next batch.
_INLINE_LIMIT_S = 0.002
_log = logging.getLogger(__name__)


class Respond(Protocol):
    """Gives an exchange rows `start` to `stop` of the answers, in the form of its protocol."""

    def __call__(self, exchange: Exchange, answers: Answers, start: int, stop: int) -> None: ...


class Ask:
    """The instances of one request on their way through a graph.

    rows or batch: the instances, as `RowReader` or `InstanceDecoder` read them. count: how many.
    """

    __slots__ = ("batch", "count", "exchange", "refuse", "respond", "rows")

    def __init__(
        self,
        exchange: Exchange,
        *,
        respond: Respond,
        refuse: Callable[[Exchange, Refusal], None],
        rows: list[Row] | None = None,
        batch: ColumnBatch | None = None,
    ) -> None:
        self.exchange = exchange
        self.respond = respond
        self.refuse = refuse
        self.rows = rows
        self.batch = batch
        self.count = len(rows) if rows is not None else batch.rows if batch is not None else 0


class Lane:
    """`ask` and `flush` are for the main loop's thread."""

    def __init__(
        self,
        version: ServedVersion,
        model: LoadedModel,
        *,
        model_name: str,
        limits: Limits,
        pool: ThreadPoolExecutor,
        post: Callable[[Callable[[], None]], None],
        ran: Callable[[str, int, int], None],
        sketch: Sketch | None = None,
    ) -> None:
        """pool: where long calls run. post: has a call run in the main loop's thread.

        ran: told model, version and rows of every call of the graph, on whatever thread.
        """
        self.version = version
        self.model = model
        self.model_name = model_name
        self.limits = limits
        self._pool = pool
        self._post = post
        self._ran = ran
        self.sketch = sketch
        self._queue: deque[Ask] = deque()
        self._is_busy = False
        self._row_cost_s = model.row_cost_s

    @property
    def has_work(self) -> bool:
        return bool(self._queue)

    def ask(self, ask: Ask) -> None:
        """Queues a request for the next `flush`. Raises Refusal when too many wait or it is too large."""
        self.check_count(ask.count)
        if len(self._queue) >= self.limits.queue:
            raise Refusal(
                Code.RESOURCE_EXHAUSTED,
                f"{len(self._queue):,} requests wait for version {self.version.number} of {self.model_name}; "
                "try again in a second",
                retry_after_s=1,
            )
        self._queue.append(ask)

    def check_count(self, count: int) -> None:
        """Raises Refusal for more instances than one request may have; to be asked before they are decoded."""
        if count > self.limits.instances:
            raise Refusal(
                Code.INVALID_ARGUMENT,
                f"the request has {count:,} instances; at most {self.limits.instances:,} are taken at once",
            )

    def flush(self) -> None:
        """Runs what waits: at once if that is quick, else beside the loop."""
        while self._queue and not self._is_busy:
            asks, rows = self._next_batch()
            if not asks:
                continue
            if self._row_cost_s * rows < _INLINE_LIMIT_S:
                self._run(asks, rows)
            else:
                self._is_busy = True
                self._pool.submit(self._run_aside, asks, rows)

    def _next_batch(self) -> tuple[list[Ask], int]:
        """Requests of up to `batch_rows` rows together, at least one; those that waited too long get told."""
        asks: list[Ask] = []
        rows = 0
        overdue = monotonic() - self.limits.deadline_s
        while self._queue and (not asks or rows + self._queue[0].count <= self.limits.batch_rows):
            ask = self._queue.popleft()
            if ask.exchange.started < overdue:
                late = f"the request waited for more than {self.limits.deadline_s:g} s"
                ask.refuse(ask.exchange, Refusal(Code.DEADLINE_EXCEEDED, late))
                continue
            asks.append(ask)
            rows += ask.count
        return asks, rows

    def _run_aside(self, asks: list[Ask], rows: int) -> None:
        try:
            self._run(asks, rows)
        finally:
            self._post(self._free)

    def _free(self) -> None:
        self._is_busy = False
        self.flush()

    def _run(self, asks: list[Ask], rows: int) -> None:
        # Of this thread's processor time: other work on the machine must not make a quick model count as slow.
        started = thread_time()
        try:
            outputs = self._outputs(asks)
        except Exception as error:
            self._run_failed(asks, error)
            return
        self._learn_cost((thread_time() - started) / rows)
        answers = Answers(outputs)
        self._ran(self.model_name, self.version.number, rows)
        position = 0
        for ask in asks:
            stop = position + ask.count
            exchange = ask.exchange
            exchange.model_name = self.model_name
            exchange.version = self.version
            exchange.rows = ask.count
            try:
                ask.respond(exchange, answers, position, stop)
            except Exception as error:
                if not isinstance(error, Refusal | PenstockError):
                    _log.exception("an answer could not be written")
                ask.refuse(exchange, refusal_of(error))
            position = stop

    def _learn_cost(self, row_cost_s: float) -> None:
        """Follows slowly: one call that was slow for once says little."""
        known = self._row_cost_s
        self._row_cost_s += 0.1 * (min(row_cost_s, 2 * known + 0.0005) - known)

    def _run_failed(self, asks: list[Ask], error: Exception) -> None:
        """Nobody's request fails for a neighbour's: each is run by itself."""
        if len(asks) > 1:
            for ask in asks:
                self._run([ask], ask.count)
            return
        if not isinstance(error, PenstockError):
            _log.error("a prediction failed", exc_info=error)
        asks[0].refuse(asks[0].exchange, refusal_of(error))

    def _outputs(self, asks: Sequence[Ask]) -> dict[str, NDArray[Any]]:
        model, sketch = self.model, self.sketch
        plain = [ask.rows for ask in asks if ask.rows is not None]
        if len(plain) == len(asks) and model.takes_matrix:
            rows = plain[0] if len(plain) == 1 else list(chain.from_iterable(plain))
            matrix = model.rows.matrix(rows)
            outputs = model.predict_matrix(matrix)
            if sketch is not None:
                sketch.see_rows(matrix)
            return outputs
        batches = [ask.batch or model.rows.batch(ask.rows or []) for ask in asks]
        batch = concatenate(batches) if len(batches) > 1 else batches[0]
        outputs = model.predict(batch)
        if sketch is not None:
            sketch.see_batch(batch)
        return outputs
