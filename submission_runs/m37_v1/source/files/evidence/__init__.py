"""What a run leaves on disk, and how it is proven.

A run's log *is* its evidence, so this package carries the protocol (spec, events, run folder) as well as the
proof (seal, checks, verify). It needs the standard library and nothing else.
"""

__version__ = "0.1.0"
