"""What the jobs return: one module for each job, and the base they share."""
