"""Code as users write it, which mypy and pyright check strictly; ``wrong`` is full of mistakes."""
