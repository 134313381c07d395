"""How many examples the property tests try.

Few in every run of the tests. For a long look at hostile data and odd interleavings, by hand:

    python -m pytest --hypothesis-profile=fuzz -m hypothesis --no-cov
"""

from hypothesis import settings
from hypothesis import strategies as st

# a busy machine is no failure: each test has a timeout
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
#: Where the same tests run once more, on another Python.
settings.register_profile("brief", max_examples=20, deadline=None)
#: A hundred times as many as by default: ten minutes on two processors.
settings.register_profile("fuzz", max_examples=10_000, deadline=None, print_blob=True)

#: Values of arguments, as far as they are the same everywhere.
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary()
)
HASHABLE = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)


def examples(number: int) -> int:
    """So many by default, and more where the profile asks for more."""
    return max(1, number * settings().max_examples // 100)
