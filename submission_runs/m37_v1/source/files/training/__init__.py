"""The trainer: ``python -m training RUN_DIR`` turns a run folder's spec into events, predictions and checkpoints."""
