"""`python -m relay`."""

import sys

from relay.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
