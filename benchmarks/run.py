"""Train one agent on one task and write everything that came of it into one directory.

    python benchmarks/run.py --agent plastic
    python benchmarks/run.py --help

The same as `plastic-gym run`; see `plastic_agents.runner.run`.
"""

import sys

from plastic_agents.runner.run import main

if __name__ == "__main__":
    sys.exit(main())
