"""Code as users write it, checked strictly by mypy and pyright; ``wrong`` is full of mistakes."""
