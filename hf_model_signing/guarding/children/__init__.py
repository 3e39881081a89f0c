"""Programs that a guarded process starts: each gets the guard, or is refused."""
