"""How fast it is: each benchmark runs both sides in one go and prints their ratio."""
