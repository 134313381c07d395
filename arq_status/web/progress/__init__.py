"""Progress for the customers of an app: tokens, a sub-app that answers them, and an element."""
