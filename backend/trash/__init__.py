"""Runs that were deleted, until the trash is emptied."""
