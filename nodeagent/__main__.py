"""`python -m nodeagent`, and the entry point of the console script."""

import sys

from nodeagent.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
