"""The ``assay`` command and the Python client over HTTP."""
