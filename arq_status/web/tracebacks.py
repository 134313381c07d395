"""Tracebacks that are easy to read: the frames in the middle are folded."""

from dataclasses import dataclass

#: How many frames of a block are shown at its start, and at its end, where it was raised.
_FIRST, _LAST = 1, 3
_FRAME = '  File "'


@dataclass(frozen=True, slots=True)
class Segment:
    """A few lines of a traceback.

    Attributes:
        text: the lines.
        frames: how many frames they are if they are folded; else 0.
    """

    text: str
    frames: int = 0


def segments(traceback: str) -> list[Segment]:
    """Split a traceback into segments that are shown and segments that are folded."""
    found: list[Segment] = []
    frames: list[str] = []
    for line in traceback.splitlines():
        if line.startswith(_FRAME):
            frames.append(line)
        elif frames and line.startswith("    "):
            frames[-1] += f"\n{line}"
        else:
            found += _fold(frames)
            frames = []
            found.append(Segment(line))
    return _joined(found + _fold(frames))


def _fold(frames: list[str]) -> list[Segment]:
    middle = frames[_FIRST:-_LAST]
    if len(middle) < 2:
        return [Segment("\n".join(frames))] if frames else []
    return [
        Segment("\n".join(frames[:_FIRST])),
        Segment("\n".join(middle), len(middle)),
        Segment("\n".join(frames[-_LAST:])),
    ]


def _joined(found: list[Segment]) -> list[Segment]:
    """Join adjacent segments that are shown."""
    joined: list[Segment] = []
    for segment in found:
        if joined and not segment.frames and not joined[-1].frames:
            joined[-1] = Segment(f"{joined[-1].text}\n{segment.text}")
        else:
            joined.append(segment)
    return joined
