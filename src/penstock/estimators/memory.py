"""What trainings on the same rows have in common, kept between them: a tuning's trials encode their rows once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

__all__ = ["TrialMemory"]

Made = TypeVar("Made")

_KEPT = 64


class TrialMemory:
    """Of one set of training rows; an estimator whose `RunConfig` has one writes no files. Threads may share it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, object] = OrderedDict()
        self._lock = threading.RLock()  # what is made may be made of what is recalled

    def recall(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What was made under this key; made now where it is not kept. Nobody may change it."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return cast("Made", self._kept[key])
