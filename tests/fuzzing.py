"""The number of examples that property tests try.

Few in ordinary test runs. For a long search through hostile data and odd interleavings, run:

    python -m pytest --hypothesis-profile=fuzz -m hypothesis --no-cov
"""

from hypothesis import settings
from hypothesis import strategies as st

# no deadlines, so that a busy machine fails no test: each has a timeout
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
#: For repeating the tests on another Python.
settings.register_profile("brief", max_examples=20, deadline=None)
#: A hundred times the default number: ten minutes on two processors.
settings.register_profile("fuzz", max_examples=10_000, deadline=None, print_blob=True)

#: Values of arguments that are the same everywhere.
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary()
)
HASHABLE = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)


def examples(number: int) -> int:
    """Return a number of examples, scaled by the profile."""
    return max(1, number * settings().max_examples // 100)
