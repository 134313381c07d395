"""The counts of a group match the statuses of its jobs, whatever happens to them."""

from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from arq_status import Status
from arq_status._model.record import State, StoredRecord
from arq_status._model.transitions import enqueued_record
from arq_status._redis import keys
from tests.redis.test_races import ENDED, JOB, TIME_TO_SHRINK, Races, identity, run_machine

GROUP = "import-7"
#: The counter of a member whose id is reused before its end was recorded.
LOST = {State.WAITING: Status.FAILED, State.RETRYING: Status.FAILED}


class Lives(Races):
    """The lives of one job after another, most of them in a group."""

    def __init__(self) -> None:
        super().__init__()
        #: the record of the current member, and the number of earlier ones per status
        self.member: StoredRecord | None = None
        self.kept: Counter[Status] = Counter()
        self.leaves = False

    @initialize()
    def begin_empty(self) -> None:
        self.do(self.redis.flushdb())
        self.do(self.store.set_group(GROUP, closed=False, title="accounts.csv"))

    @precondition(lambda self: not self.live and self.result is None)
    @rule(later=st.booleans(), in_group=st.booleans())
    def enqueue(self, later: bool, in_group: bool = True) -> None:
        """Enqueue it, through the group or with arq alone."""
        Races.enqueue.__wrapped__(self, later)  # type: ignore[attr-defined]
        if in_group:
            tagging = self.store.tag_enqueued(JOB, enqueued_record("f", None, ("a/b",), GROUP))
            self.do(self.store.run([tagging]))
            self.record = StoredRecord(enqueued_ms=self.run, job_try=0, state=State.WAITING)

    @precondition(lambda self: self.live and self.own_record() is not None)
    @rule()
    def tag(self) -> None:
        """Tag the job."""
        assert self.do(self.client.tag(JOB, "x"))

    @precondition(lambda self: not self.live and self.record is not None and self.record.ended)
    @rule()
    def expire(self) -> None:
        """Its record expires, and its index entries with it."""
        self.do(self.redis.delete(keys.RECORD + JOB, keys.PAYLOAD + JOB))
        for index in self.do(self.redis.keys(f"{keys.ENDED}*")):
            self.do(self.redis.zrem(index, JOB))
        self.record, self.letters = None, []
        self.let_result_go()

    @precondition(lambda self: not self.live and self.record is not None)
    @rule()
    def delete(self) -> None:
        """Its tracking data is deleted, so it does not count in the group any more."""
        self.let_result_go()
        if self.do(self.client.status(JOB)) is None:
            return
        self.leaves = True
        assert self.do(self.client.delete(JOB)) == 1
        self.record, self.letters = None, []

    @invariant()
    def the_newest_row_stands(self) -> None:
        """Retry it, even if an earlier one was deleted."""
        found = self.do(self.store.stored_record(JOB))
        if found is None or found.state is not State.DELETED:
            assert identity(found) == identity(self.record)

    def let_result_go(self) -> None:
        """Arq's result expires."""
        self.result = None
        self.do(self.redis.delete("arq:result:job"))

    @invariant()
    def counts_are_what_status_says(self) -> None:
        """Including jobs that expired or whose ids were reused."""
        [(facts, _)] = self.do(self.store.facts([JOB]))
        record = facts.stored_record
        self.note(record)
        expected = Counter(self.kept)
        done = sum(self.kept.values())
        if self.member is not None:
            status = self.do(self.client.status(JOB))
            if facts.current_record is None and (facts.live or self.member.ended is not None):
                # this is the status of another run, which may not be in the group
                status = lost_status(self.member)
            assert status
            expected[status] += 1
            done += not facts.live or facts.current_record is None
        group = self.do(self.client.group_status(GROUP))
        assert group is not None
        assert +Counter(group.counts) == expected
        assert (group.total, group.done) == (sum(expected.values()), done)
        if not facts.live or record is None or record.ended is None:
            # otherwise its worker died before arq stored the end: lists by tag have it when it runs
            self.lists_agree(facts.current_record)
        if self.do(self.store.stored_record(JOB)) != record:
            self.settle(self.allowed())
            self.note(self.do(self.store.stored_record(JOB)))

    def lists_agree(self, record: StoredRecord | None) -> None:
        """The lists of the group and of the tag have the job as long as it has its record."""
        expected = [JOB] if record is not None and record.group else []
        for filters in ({"group": GROUP}, {"tag": "a/b"}):
            page = self.do(self.client.list_jobs(**filters))  # type: ignore[arg-type]
            assert [it.job_id for it in page.items] == expected

    def note(self, record: StoredRecord | None) -> None:
        """Note the current record."""
        before, self.member = self.member, None
        if record is not None and record.group == GROUP:
            self.member = record
        elif before is not None and not self.leaves:
            self.kept[lost_status(before)] += 1
        self.leaves = False


def lost_status(record: StoredRecord) -> Status:
    """Return the counter of a job whose record is gone."""
    if record.ended is not None:
        return ENDED[record.state]
    return LOST.get(record.state, Status.INTERRUPTED)


@pytest.mark.hypothesis
@TIME_TO_SHRINK
def test_counts_of_a_group(dsn: str) -> None:
    """They are right for cancelled, killed, retried, expired, deleted and re-enqueued jobs."""
    run_machine(Lives, dsn)
