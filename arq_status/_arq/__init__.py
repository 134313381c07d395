"""Knowledge of arq: its running worker, and the formats that it stores."""
