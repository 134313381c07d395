"""Everything that speaks Redis."""
