"""How the processes of a job grow one ensemble: LightGBM's own data-parallel mode, over the addresses of TF_CONFIG.

Every process bins all rows, so that bins do not depend on how many processes there are, and grows on its share: only
histograms travel. See https://lightgbm.readthedocs.io/en/stable/Parallel-Learning-Guide.html.
"""

import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.errors import PreconditionError
from penstock.estimators.preparation import notice
from penstock.estimators.ring import Ring

__all__ = ["CONNECTION", "ring_parameters", "share_of", "wait_for_port"]

CONNECTION = ("machines", "local_listen_port", "time_out")
"""The parameters that make LightGBM connect; a booster made without them uses the connection there is. To connect
anew costs a minute at worst, in which the system keeps the port from being bound again."""

_PORT_PATIENCE_S = 90.0

_TIMEOUT_MINUTES = 10
"""How long a process waits for the others to be there; a lost one is noticed at once, by its closed connection."""


_FEW_ROWS = 10_000
"""So many at most are left to one thread. Threads wait for each other by spinning, after every split: of 5,000 rows two
grow 100 trees 60 ms sooner than one on an idle machine, and 28 s later where other work keeps its cores busy."""


def ring_parameters(ring: Ring, addresses: Sequence[str], *, threads: int, rows: int) -> dict[str, Any]:
    """LightGBM's parameters for the process of that rank; threads alone for one that is alone.

    addresses: `host:port` of the ring, by rank. threads: of this machine, shared by the processes on it. rows: to learn
    from. Raises PreconditionError where TF_CONFIG does not name them all.
    """
    if rows <= _FEW_ROWS:
        threads = 1
    if ring.is_alone:
        return {"num_threads": threads}
    if len(addresses) != ring.size:
        raise PreconditionError(
            f"{ring.size} processes are to grow trees together and TF_CONFIG names {len(addresses)} masters and "
            "workers; run them as a job, or with penstock local train --distributed"
        )
    places = [(_ip_of(address.rpartition(":")[0]), address.rpartition(":")[2]) for address in addresses]
    return {
        "tree_learner": "data",
        "machines": ",".join(f"{host}:{port}" for host, port in places),
        "num_machines": ring.size,
        "local_listen_port": int(places[ring.rank][1]),
        "time_out": _TIMEOUT_MINUTES,
        # Two threads a core wait for each other by spinning: a tree took seconds instead of a millisecond.
        "num_threads": max(1, threads // sum(host == places[ring.rank][0] for host, _ in places)),
    }


def wait_for_port(parameters: Mapping[str, Any]) -> None:
    """Returns once LightGBM can listen where `parameters` say; a port that was in use is kept for a minute longer.

    Raises PreconditionError where it is not free by then.
    """
    port = int(parameters["local_listen_port"])
    began = time.monotonic()
    is_told = False
    while True:
        with socket.socket() as trial:
            try:
                trial.bind(("", port))
                return
            except OSError as error:
                waited = time.monotonic() - began
                if waited > _PORT_PATIENCE_S:
                    raise PreconditionError(
                        f"port {port}, which TF_CONFIG names, is not free: {error.strerror}"
                    ) from None
        if waited > 1 and not is_told:
            is_told = True
            notice(f"waiting for port {port}, which was in use a moment ago")
        time.sleep(0.2)


def share_of(ring: Ring, index: NDArray[Any]) -> NDArray[Any]:
    """The rows that this process grows on: a run of neighbours, as long as the others' or one shorter."""
    if ring.is_alone:
        return index
    bounds = np.linspace(0, len(index), ring.size + 1).round().astype(int)
    first, last = bounds[ring.rank], bounds[ring.rank + 1]
    notice(f"shard {ring.rank + 1} of {ring.size} grows on rows {first} to {last} of {len(index)}")
    return index[first:last]


def _ip_of(host: str) -> str:
    """LightGBM finds itself among the machines by its IP address."""
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise PreconditionError(f"TF_CONFIG names the host {host!r}, which cannot be found: {error}") from None
