"""Ends jobs whose supervisors are gone: first what they left running, then their records."""

from pathlib import Path

from penstock.jobs.ledger import JobLedger, supervisor_fate
from penstock.jobs.processes import end_all, marked
from penstock.jobs.record import JobRecord
from penstock.jobs.states import JobState
from penstock.settings import load_settings
from penstock.store.owner import fate_of

__all__ = ["orphaned", "reap"]


def reap(ledger: JobLedger) -> list[JobRecord]:
    """Ends every job on this machine that nobody answers for, and returns those; clusters' jobs are left to `orphaned`.

    A job of another machine whose supervisor has been silent for a lease is ended in the store alone.
    """
    reaped = []
    for record in ledger.unfinished():
        if record.cluster and record.cluster_job:
            continue
        if supervisor_fate(record) == "gone" and _end(ledger, record):
            reaped.append(record)
    return reaped


def orphaned(ledger: JobLedger) -> list[JobRecord]:
    """Jobs that go on in a cluster while their supervisors are gone: for somebody to adopt."""
    return [record for record in ledger.unfinished() if record.cluster_job and supervisor_fate(record) == "gone"]


def _end(ledger: JobLedger, record: JobRecord) -> bool:
    here = fate_of(record.owner) != "unknown"
    if here:
        end_all(lambda: marked(record.marker), grace_s=0)
        if record.cluster:
            from penstock.jobs.ray_trials import stop_trials

            stop_trials(Path(record.folder), record.cluster, token=load_settings().ray_token)
    where = "" if here else " on another machine"
    if record.state is JobState.CANCELLING:
        state, reason = JobState.CANCELLED, f"Its supervisor{where} was gone; what was left of it has been ended."
    elif record.state is JobState.QUEUED:
        state, reason = JobState.FAILED, f"Its supervisor{where} was killed before the job started; submit it again."
    else:
        state = JobState.FAILED
        reason = (
            f"Its supervisor{where} was killed; what was left of the job has been ended. Submit it again: a trainer "
            "that keeps checkpoints goes on from the last one."
        )
    return ledger.end(record, state, error_message=reason, output=record.output)
