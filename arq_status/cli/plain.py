"""Text from jobs for the terminal: nothing in it may act there."""

from unicodedata import category

from rich.text import Text

#: Control characters, invisible ones that turn text around, halves of surrogates, line ends.
_ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def plain(text: str, *, lines: bool = False) -> str:
    """The text on one line, or on several; what would act in a terminal stands there escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character, lines) for character in text)


def told(text: str, style: str = "", *, lines: bool = False) -> Text:
    """The same for rich, without markup."""
    return Text(plain(text, lines=lines), style)


def _shown(character: str, lines: bool) -> str:
    if character in "\n\t":
        return character if lines else " "
    if category(character) in _ACTING:
        return character.encode("unicode_escape").decode()
    return character
