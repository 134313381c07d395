"""Everything that depends on arq's internals: its running worker and its storage formats."""
