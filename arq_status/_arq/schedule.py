"""The schedule of a cron job, as text."""

from arq.cron import CronJob

_FIELDS = ("month", "weekday", "day", "hour", "minute", "second")


def schedule_of(cron_job: CronJob) -> str:
    """Return the schedule as given to ``cron``: ``hour=3, minute=[0, 30]``.

    If nothing was given it is ``every minute``; with ``second=None``, ``every second``.
    """
    parts = []
    for name in _FIELDS:
        given = getattr(cron_job, name)
        if given is None or (name == "second" and given == 0):
            continue
        shown = sorted(given) if isinstance(given, set | list | tuple) else given
        parts.append(f"{name}={shown}")
    if parts:
        return ", ".join(parts)
    return "every minute" if cron_job.second == 0 else "every second"
