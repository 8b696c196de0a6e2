"""What trainings on the same rows share."""

from concurrent.futures import ThreadPoolExecutor

from penstock.estimators.memory import TrialMemory


def test_threads_that_ask_at_once_get_what_one_of_them_made() -> None:
    memory = TrialMemory()
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    with ThreadPoolExecutor(4) as threads:
        recalled = list(threads.map(lambda _: memory.recall("rows", make), range(40)))
    assert len(made) == 1
    assert all(thing is made[0] for thing in recalled)


def test_what_is_made_may_be_made_of_what_is_recalled() -> None:
    memory = TrialMemory()
    with ThreadPoolExecutor(1) as threads:
        whole = threads.submit(lambda: memory.recall("whole", lambda: ("a", memory.recall("part", lambda: "b"))))
        assert whole.result(timeout=20) == ("a", "b")
    assert memory.recall("part", lambda: "made anew") == "b"
