"""Durable workflows that resume where they were."""
