"""What is known of arq: its running worker, and what it stores."""
