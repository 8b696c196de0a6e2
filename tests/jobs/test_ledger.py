from collections.abc import Iterator
from dataclasses import replace

import pytest

from penstock.errors import AlreadyExistsError, NotFoundError
from penstock.jobs.ledger import JobLedger, supervisor_fate
from penstock.jobs.record import JobRecord, job_json
from penstock.jobs.states import JobState
from penstock.jobs.training_input import TrainingInput
from penstock.settings import Settings
from penstock.store.owner import this_process
from penstock.store.plain import open_plain_store

HERE = this_process()


@pytest.fixture(params=["sqlite3", "SQLAlchemy"])
def ledger(settings: Settings, request: pytest.FixtureRequest) -> Iterator[JobLedger]:
    # A URL with a query is left to SQLAlchemy, whose path is also PostgreSQL's.
    query = "?timeout=60" if request.param == "SQLAlchemy" else ""
    store = open_plain_store(replace(settings, database_url=settings.database_url + query))
    yield JobLedger(store)
    store.close()


def create(ledger: JobLedger, name: str, *, owner: str = HERE, project: str = "local") -> JobRecord:
    return ledger.create(
        project=project,
        name=name,
        labels={"team": "a"},
        training=TrainingInput(python_module="trainer.task", args=["--x", "1"]),
        folder=f"/jobs/{name}",
        marker="m",
        owner=owner,
        cluster="",
    )


def test_a_job_comes_back_as_it_was_made(ledger: JobLedger) -> None:
    create(ledger, "one")
    record = ledger.get("local", "one")
    assert (record.state, record.labels, record.training.args) == (JobState.QUEUED, {"team": "a"}, ["--x", "1"])
    shown = job_json(record, position=ledger.position(record))
    assert shown["jobPosition"] == "1"
    assert shown["trainingInput"]["scaleTier"] == "BASIC"
    assert "endTime" not in shown


def test_a_name_is_taken_for_ever_in_its_project_whatever_its_case(ledger: JobLedger) -> None:
    record = create(ledger, "one")
    ledger.end(record, JobState.FAILED, error_message="", output={})
    for name in ("one", "ONE"):
        with pytest.raises(AlreadyExistsError, match="a name of its own"):
            create(ledger, name)
    assert create(ledger, "one", project="other").project == "other"


def test_an_unknown_job_is_named_with_its_neighbour(ledger: JobLedger) -> None:
    create(ledger, "housing_1")
    with pytest.raises(NotFoundError, match="did you mean 'housing_1'"):
        ledger.get("local", "housing_l")


def test_slots_are_taken_in_order_of_submission(ledger: JobLedger) -> None:
    jobs = [create(ledger, name) for name in ("a", "b", "c")]

    def admit(record: JobRecord) -> object:
        return ledger.admit(record, slots=2, gpus_wanted=0, gpus_here=0)

    assert admit(jobs[1]) is None, "b stands behind a"
    assert admit(jobs[0]) == ()
    assert [ledger.position(ledger.get("local", name)) for name in "abc"] == [0, 1, 2]
    assert admit(jobs[1]) == ()
    assert admit(jobs[2]) is None, "both slots are taken"
    ledger.end(jobs[0], JobState.SUCCEEDED, error_message="", output={})
    assert admit(jobs[2]) == ()
    assert ledger.get("local", "c").state is JobState.PREPARING


def test_gpus_are_given_out_once(ledger: JobLedger) -> None:
    first, second, third = (create(ledger, name) for name in ("a", "b", "c"))
    assert ledger.admit(first, slots=9, gpus_wanted=1, gpus_here=3) == (0,)
    assert ledger.admit(second, slots=9, gpus_wanted=2, gpus_here=3) == (1, 2)
    assert ledger.admit(third, slots=9, gpus_wanted=1, gpus_here=3) is None
    ledger.end(first, JobState.FAILED, error_message="", output={})
    assert ledger.admit(third, slots=9, gpus_wanted=1, gpus_here=3) == (0,)


def test_a_job_ends_once_and_only_by_its_owner(ledger: JobLedger) -> None:
    record = create(ledger, "one")
    assert ledger.take_over(record, f"{HERE}9")
    assert not ledger.renew(record)
    assert not ledger.set_state(record, JobState.RUNNING)
    assert not ledger.end(record, JobState.SUCCEEDED, error_message="", output={})
    owned = ledger.get("local", "one")
    assert ledger.end(owned, JobState.FAILED, error_message="why", output={"consumedMLUnits": 1})
    assert not ledger.end(owned, JobState.SUCCEEDED, error_message="", output={})
    ended = ledger.get("local", "one")
    assert (ended.state, ended.error_message) == (JobState.FAILED, "why")
    assert ended.ended is not None


def test_a_job_being_cancelled_does_not_run_again(ledger: JobLedger) -> None:
    record = create(ledger, "one")
    assert ledger.admit(record, slots=1, gpus_wanted=0, gpus_here=0) == ()
    assert not ledger.is_cancel_requested(record)
    assert ledger.request_cancel("local", "one").state is JobState.CANCELLING
    assert ledger.is_cancel_requested(record)
    ledger.set_state(record, JobState.RUNNING)
    assert ledger.get("local", "one").state is JobState.CANCELLING


def test_cancelling_what_is_over_changes_nothing(ledger: JobLedger) -> None:
    ledger.end(create(ledger, "one"), JobState.SUCCEEDED, error_message="", output={})
    assert ledger.request_cancel("local", "one").state is JobState.SUCCEEDED
    with pytest.raises(NotFoundError):
        ledger.request_cancel("local", "two")


def test_start_time_is_that_of_the_first_run(ledger: JobLedger) -> None:
    record = create(ledger, "one")
    ledger.set_state(record, JobState.RUNNING)
    first = ledger.get("local", "one").started
    ledger.set_state(record, JobState.RUNNING)
    assert ledger.get("local", "one").started == first is not None


def test_listing_is_newest_first_and_in_pages(ledger: JobLedger) -> None:
    for name in "abc":
        create(ledger, name)
    create(ledger, "elsewhere", project="other")
    assert [record.name for record in ledger.list("local")] == ["c", "b", "a"]
    page = ledger.list("local", limit=2)
    assert [record.name for record in ledger.list("local", before=page[-1].id)] == ["a"]


def test_a_supervisors_fate_is_certain_here_and_a_matter_of_time_elsewhere(ledger: JobLedger) -> None:
    assert supervisor_fate(create(ledger, "a")) == "alive"
    assert supervisor_fate(create(ledger, "b", owner=f"{HERE}1")) == "gone"
    elsewhere = create(ledger, "c", owner="0123456789-1-1")
    assert supervisor_fate(elsewhere) == "alive"
    assert supervisor_fate(replace(elsewhere, renewed=elsewhere.renewed - 61_000_000)) == "gone"
