"""The data that an attempt has stored, and the part of it that Redis does not have yet."""

from collections.abc import Mapping

from arq_status._model.validation import check_data_size

#: The most bytes of stored fields in a row, unless a single field has more.
_ROW_BYTES = 65_536


class AttemptData:
    """The stored fields of an attempt, encoded. Any thread may set them."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        #: names of the fields that are not known to be in Redis
        self.unsent: dict[str, None] = {}
        self._size = 0

    def update(self, fields: Mapping[str, str]) -> None:
        """Set fields.

        Raises:
            ValueError: the data of the attempt would be too large in all.
        """
        size = self._size
        for name, text in fields.items():
            before = self.fields.get(name)
            size += _size(name, text) - (0 if before is None else _size(name, before))
        check_data_size(size)
        self._size = size
        self.fields.update(fields)
        self.unsent.update(dict.fromkeys(fields))

    def to_send(self) -> dict[str, str]:
        """Return the fields that are not known to be in Redis."""
        return {name: self.fields[name] for name in self.unsent.copy()}

    def mark_sent(self, fields: Mapping[str, str]) -> None:
        """Note that these fields are in Redis, except those set again since."""
        for name, text in fields.items():
            if self.fields[name] is text:
                self.unsent.pop(name, None)


def in_parts(fields: Mapping[str, str]) -> list[dict[str, str]]:
    """Split fields into parts, each small enough for one row."""
    parts: list[dict[str, str]] = [{}]
    room = _ROW_BYTES
    for name, text in fields.items():
        room -= _size(name, text)
        if room < 0 and parts[-1]:
            parts.append({})
            room = _ROW_BYTES - _size(name, text)
        parts[-1][name] = text
    return parts


def _size(name: str, text: str) -> int:
    return len(name.encode()) + len(text.encode())
