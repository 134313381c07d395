"""Formatting of times and durations for display. The pages' scripts use the same ``UNITS``."""

from datetime import datetime, timedelta

UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def format_duration(time: timedelta | float) -> str:
    """Format a duration, as in ``340 ms``, ``4.2 s``, ``12 s``, ``3 min 5 s`` or ``4 d 3 h``."""
    seconds = time.total_seconds() if isinstance(time, timedelta) else time
    if 0 < seconds < 1:
        return f"{int(seconds * 1000)} ms"
    if seconds < 10 and seconds != int(seconds):
        return f"{int(seconds * 10) / 10} s"
    rest = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in UNITS:
        number, rest = divmod(rest, size)
        if number or parts or unit == "s":
            parts.append(f"{number} {unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 ") or len(parts) == 1)


def format_whole_seconds(time: timedelta) -> str:
    """Format a duration in whole seconds, for one that is still changing."""
    return format_duration(int(time.total_seconds()))


def format_time(moment: datetime) -> str:
    """Format a time in UTC, as in ``2026-11-24 23:11:03 UTC``."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def format_relative(moment: datetime, now: datetime) -> str:
    """Format a time relative to now, as in ``12 s ago`` or ``in 5 min``."""
    seconds = int((now - moment).total_seconds())
    if seconds == 0:
        return "just now"
    size = abs(seconds)
    unit, number = next((unit, size // it) for unit, it in UNITS if size >= it)
    return f"{number} {unit} ago" if seconds > 0 else f"in {number} {unit}"
