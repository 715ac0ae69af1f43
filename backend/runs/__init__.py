"""Runs: asked for, queued, followed, streamed."""
