"""Validation of labels: tags and group ids."""

from collections.abc import Iterable

from arq_status._model.text import clean

#: Maximum characters of a tag and of a group id, and maximum tags of a job.
LONGEST_TAG, LONGEST_GROUP_ID, MOST_TAGS = 100, 200, 20


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Validate tags and return them as stored, without duplicates.

    Raises:
        TypeError: they are not a list, or one of them is not a string.
        ValueError: one does not have 1 to 100 characters, or there are more than 20.
    """
    if isinstance(tags, str | bytes):
        raise TypeError(f"tags must be a list of strings, not a string: use [{tags!r}]")
    if not isinstance(tags, Iterable):
        raise TypeError(f"tags must be a list of strings, not {type(tags).__name__}")
    checked = tuple(dict.fromkeys(checked_tag(tag) for tag in tags))
    check_tag_count(checked)
    return checked


def checked_tag(tag: str) -> str:
    """Validate a tag and return it as stored.

    Raises:
        TypeError: it is not a string.
        ValueError: it does not have 1 to 100 characters.
    """
    return _checked("a tag", tag, LONGEST_TAG)


def checked_group_id(group_id: str) -> str:
    """Validate a group id and return it as stored.

    Raises:
        TypeError: it is not a string.
        ValueError: it does not have 1 to 200 characters.
    """
    return _checked("a group id", group_id, LONGEST_GROUP_ID)


def check_tag_count(tags: tuple[str, ...]) -> None:
    """Check the number of a job's tags.

    Raises:
        ValueError: there are more than 20.
    """
    if len(tags) > MOST_TAGS:
        raise ValueError(f"a job can have at most {MOST_TAGS} tags, not {len(tags)}")


def _checked(name: str, text: object, longest: int) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str, not {type(text).__name__}")
    if not 1 <= len(text) <= longest:
        raise ValueError(f"{name} must have 1 to {longest} characters, not {len(text)}")
    return clean(text)
