"""Preflights: will it fit, and how fast could it be, answered by the compiler before any quota is spent."""
