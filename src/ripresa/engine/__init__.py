"""The engine: owns runs, commits batches, wakes, dispatches, recovers."""
