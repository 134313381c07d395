"""Steering a job from outside: stop, cancel, retry."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from arq.constants import default_queue_name
from arq.utils import timestamp_ms

from arq_status._store import Store
from arq_status._track import State, Track
from arq_status._truth import Facts, Status, decide

#: Looks at a job that changes while it is being steered.
_LOOKS = 20
#: Seconds between looks at a job that begins: its record follows within a fraction of a second.
_PAUSE = 0.05

_AGAIN = (Status.FAILED, Status.STOPPED, Status.INTERRUPTED)


async def stop(store: Store, job_id: str, *, force: bool) -> bool:
    """Ask a running job to stop, cancel one that waits; whether there was one."""

    async def once(facts: Facts) -> bool | None:
        if decide(facts) is not Status.WORKING:
            return await _cancel(store, facts)
        track = facts.own_track
        if track is None or track.state is not State.WORKING:
            # its record is on its way, unless it is not tracked
            await asyncio.sleep(_PAUSE)
            return None
        return await store.stop(job_id, track.run, force=force) or None

    return await _until_decided(store, job_id, once)


async def cancel(store: Store, job_id: str) -> bool:
    """Take a job that is not running out of its queue for good; whether that was done."""

    async def once(facts: Facts) -> bool | None:
        return False if decide(facts) is Status.WORKING else await _cancel(store, facts)

    return await _until_decided(store, job_id, once)


async def retry(store: Store, job_id: str) -> bool:
    """Have arq run an ended job again; whether that was done."""

    async def once(facts: Facts) -> bool | None:
        track = facts.own_track
        if facts.live or track is None or decide(facts) not in _AGAIN:
            return False
        if await store.retry(facts, _waiting_again(track)):
            return True
        # another was faster, its payload is gone, or somebody stored something just now
        return None if (await _look(store, job_id)).stored != facts.stored else False

    return await _until_decided(store, job_id, once)


async def _until_decided(
    store: Store, job_id: str, attempt: Callable[[Facts], Awaitable[bool | None]]
) -> bool:
    """Try until it is clear, for what was seen of the job may have changed since."""
    for _ in range(_LOOKS):
        facts = await _look(store, job_id)
        if decide(facts) is None:
            return False
        done = await attempt(facts)
        if done is not None:
            return done
    return False


async def _look(store: Store, job_id: str) -> Facts:
    [(facts, _)] = await store.facts([job_id])
    return facts


async def _cancel(store: Store, facts: Facts) -> bool | None:
    if not facts.live:
        return False
    # arq would leave a dead worker's in-progress key to whoever uses the id next
    drop_key = decide(facts) is Status.INTERRUPTED
    return await store.cancel(facts, _cancelled(facts), drop_key=drop_key) or None


def _cancelled(facts: Facts) -> Track:
    """The last record of a job that is taken out of its queue."""
    track, payload = facts.own_track, facts.payload
    if track is None or track.ended is not None:
        track = Track(
            run=(payload.enqueued_ms if payload else None) or 0,
            job_try=0,
            queue=facts.queue or default_queue_name,
            expires=facts.expires,
        )
    began = track.state is not State.WAITING and track.started is not None
    return replace(
        track,
        version=track.version + 1,
        state=State.STOPPED,
        function=track.function or (payload.function if payload else None),
        args=track.args or (payload.args if payload else ""),
        updated=facts.now,
        ended=facts.now,
        error="cancelled before its next try" if began else "cancelled before it ran",
    )


def _waiting_again(track: Track) -> Track:
    """The record of a job that is to run again: as new, but for what tells its tries apart."""
    now = timestamp_ms()
    return Track(
        run=track.run,
        job_try=0,
        state=State.WAITING,
        function=track.function,
        args=track.args,
        queue=track.queue,
        due=max(now, (track.due or track.run) + 1),
        updated=now,
        expires=track.expires,
    )
