"""What the demo says when it cannot go on."""


class DemoError(Exception):
    """Something that the user can mend; its text is a sentence for them."""
