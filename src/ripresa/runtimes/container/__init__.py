"""The container runtime: jobs in containers of a Docker Engine or a Podman service, over their common API.

    order ─ policy ─> spec ─> client ──create, start──> container
                                  <──lines, exit code, $JOB_OUTPUT──

A container outlives the engine that started it: the next engine finds it by its name and goes on with it (`runtime`).
"""
