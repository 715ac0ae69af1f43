"""``python -m evidence``: record, seal, verify. Needs the standard library only."""

import sys

from evidence.command import main

sys.exit(main(sys.argv[1:]))
