"""Tags, by which jobs are found again, and the names of groups, checked."""

from collections.abc import Iterable

from arq_status._model.text import clean

#: Characters of a tag and of a group's id, and tags of a job.
LONGEST_TAG, LONGEST_GROUP_ID, MOST_TAGS = 100, 200, 20


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags as they are stored, each once.

    Raises:
        TypeError: they are no list, or one of them is not a text.
        ValueError: one has not 1 to 100 characters, or there are more than 20.
    """
    if isinstance(tags, str | bytes):
        raise TypeError(f"tags must be a list of texts, not one: [{tags!r}]")
    if not isinstance(tags, Iterable):
        raise TypeError(f"tags must be a list of texts, not {type(tags).__name__}")
    checked = tuple(dict.fromkeys(checked_tag(tag) for tag in tags))
    check_tag_count(checked)
    return checked


def checked_tag(tag: str) -> str:
    """Return a tag as it is stored.

    Raises:
        TypeError: it is not a text.
        ValueError: it has not 1 to 100 characters.
    """
    return _checked("a tag", tag, LONGEST_TAG)


def checked_group_id(group_id: str) -> str:
    """Return the id of a group as it is stored.

    Raises:
        TypeError: it is not a text.
        ValueError: it has not 1 to 200 characters.
    """
    return _checked("the id of a group", group_id, LONGEST_GROUP_ID)


def check_tag_count(tags: tuple[str, ...]) -> None:
    """Check how many tags a job has.

    Raises:
        ValueError: they are more than 20.
    """
    if len(tags) > MOST_TAGS:
        raise ValueError(f"a job has up to {MOST_TAGS} tags, not {len(tags)}")


def _checked(name: str, text: object, longest: int) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str, not {type(text).__name__}")
    if not 1 <= len(text) <= longest:
        raise ValueError(f"{name} has 1 to {longest} characters, not {len(text)}")
    return clean(text)
