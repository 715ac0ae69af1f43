"""Replays of bundles: a segment trained again by a job, so that a verdict rests on what was seen here."""
