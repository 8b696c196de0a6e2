"""What a search tried, how well each did, and why it was kept or dropped: for people, and as JSON."""

from collections.abc import Sequence

import msgspec

__all__ = ["LeaderboardEntry", "leaderboard_text"]


class LeaderboardEntry(msgspec.Struct, frozen=True, kw_only=True):
    """score: the metric on the rows of the folds that it was held to. weight: in the ensemble. note: what became of it.

    folds: that it was trained for. seconds: all of them together.
    """

    candidate: str
    family: str
    metric: str
    score: float | None
    weight: float
    folds: int
    seconds: float
    note: str
    parameters: dict[str, object] = {}


def leaderboard_text(entries: Sequence[LeaderboardEntry]) -> str:
    """A table, one line a candidate, best first."""
    metric = entries[0].metric if entries else "score"
    header = ["CANDIDATE", "ESTIMATOR", metric.upper(), "WEIGHT", "FOLDS", "SECONDS", ""]
    lines = [
        [
            entry.candidate,
            entry.family,
            "" if entry.score is None else f"{entry.score:,.6g}",
            f"{entry.weight:.2f}" if entry.weight else "",
            str(entry.folds),
            f"{entry.seconds:.1f}",
            entry.note,
        ]
        for entry in entries
    ]
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    right = {2, 3, 4, 5}

    def line_of(cells: list[str]) -> str:
        placed = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(placed).rstrip()

    return "\n".join(line_of(cells) for cells in [header, *lines])
