"""Compiled training programs, kept by what they consist of: trials that differ in numbers alone share one
compilation.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from penstock.estimators.loop import Array, Program, TrainLoop
from penstock.estimators.loops import make_loop

__all__ = ["CompiledProgram", "compiled_program"]

_KEPT = 8


@dataclass(frozen=True, eq=False)
class CompiledProgram:
    """first_optimizer: what the optimizers' variables held before the first step; on TensorFlow steps change them.
    make: made the program. It is held because a key names a user's functions by their addresses, which another
    function would have once these are gone."""

    program: Program
    loop: TrainLoop
    first_optimizer: tuple[Array, ...]
    make: Callable[[], Program]


_programs: OrderedDict[str, CompiledProgram] = OrderedDict()
_lock = threading.Lock()


def compiled_program(key: str, make: Callable[[], Program]) -> CompiledProgram:
    """The program of that key, made if it is not kept. The key names everything that is compiled into its steps."""
    with _lock:
        kept = _programs.get(key)
        if kept is None:
            program = make()
            kept = _programs[key] = CompiledProgram(program, make_loop(program), program.state().optimizer, make)
            while len(_programs) > _KEPT:
                _programs.popitem(last=False)
        _programs.move_to_end(key)
        return kept
