"""What trains, judges or simulates to answer one question of docs/results.md each; every file says which and how."""
