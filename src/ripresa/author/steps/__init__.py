"""Context-first workflows: steps in order, and an immutable context that is passed from one to the next.

frozen, context   what a step sees: values that cannot be changed
result, policy    what it says of itself, and what follows from that
kinds, workflow   the definition
calling           one attempt of a step
fold, program     how outcomes add up, and the durable program that asks for them
dry_run           what would happen
"""
