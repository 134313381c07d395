"""What the demo says when it cannot go on."""


class DemoError(Exception):
    """Something that the user can mend; its text is a sentence for them."""


class BadRowError(Exception):
    """A row of a file that cannot be imported; its text says why."""
