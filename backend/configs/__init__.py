"""Shipped configs and the data files a run may read."""
