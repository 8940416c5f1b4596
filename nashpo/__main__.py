"""`python -m nashpo` is the command `nashpo`."""

import sys

from nashpo.cli import main

if __name__ == "__main__":
    sys.exit(main())
