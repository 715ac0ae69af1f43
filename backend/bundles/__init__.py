"""Sealed bundles, verified live."""
