"""The server: starts runs, follows their folders, seals them, and serves the page."""
