"""Runs in sessions that Kaggle lends: a job here pushes a notebook, watches it, and takes in what it leaves.

For the recorder the job is a trainer like any other: it is queued, recorded, stopped and found again after a restart
of the server by the same means, and appends the session's events to its run's folder as they come.
"""
