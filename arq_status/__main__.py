"""``python -m arq_status``: the ``arq-status`` command."""

import sys

from arq_status.cli import main

sys.exit(main())
