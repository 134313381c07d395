"""Progress for the customers of an app: tokens, a sub-app that accepts them, and an element."""
