"""`python -m flamepy.runner`: see `e2e`."""

import sys

from .e2e import main

sys.exit(main())
