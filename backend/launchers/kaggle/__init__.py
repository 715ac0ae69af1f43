"""Runs on a Kaggle TPU: a notebook is pushed, watched, and what it leaves is taken in."""
