"""The Kubernetes runtime: jobs as Jobs of a cluster, one for each attempt.

    order ─ policy ─> manifest ─> client ──create──> Job ──> pod
                          seen <──list, watch, log──────────┘

The Job outlives the engine that started it: the next engine finds it by its name and goes on with it (`runtime`).
"""
