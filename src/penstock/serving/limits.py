"""What one request may ask for, what all of them may hold, and how long anything may take."""

import msgspec

__all__ = ["Limits"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a prediction server.

    body_bytes: of a request; a larger one is refused before it is read.
    bodies_bytes: of requests that a worker has not answered yet; more are told to come back (429).
    body_timeout_s: for a caller to send headers, and again to send the body.
    instances: rows of one request.
    queue: requests that may wait for one version of a model; more are told to come back (429).
    deadline_s: a request that has waited longer gets 504 in place of a late answer.
    batch_rows: rows run together in one call of a graph.
    loaded_versions: versions kept in memory by a worker; the one asked longest ago makes room.
    """

    body_bytes: int = 16 * 1024 * 1024
    bodies_bytes: int = 256 * 1024 * 1024
    body_timeout_s: float = 30.0
    instances: int = 100_000
    queue: int = 1024
    deadline_s: float = 30.0
    batch_rows: int = 4096
    loaded_versions: int = 100

    @property
    def largest_bodies(self) -> int:
        """How many bodies of the largest size allowed may be held at once; one at least."""
        return max(1, self.bodies_bytes // self.body_bytes)
