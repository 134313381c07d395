"""Escaping of text from jobs for the terminal."""

from unicodedata import category

from rich.text import Text

#: Control characters, invisible ones that reorder text, lone surrogates, line separators.
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def escape(text: str, *, multiline: bool = False) -> str:
    """Escape every character that the terminal would interpret.

    Args:
        text: any text.
        multiline: keep newlines and tabs instead of replacing them with spaces.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character, multiline) for character in text)


def escaped(text: str, style: str = "", *, multiline: bool = False) -> Text:
    """Return the escaped text as a rich ``Text``, without markup."""
    return Text(escape(text, multiline=multiline), style)


def _escaped(character: str, multiline: bool) -> str:
    if character in "\n\t":
        return character if multiline else " "
    if category(character) in _UNSAFE:
        return character.encode("unicode_escape").decode()
    return character
