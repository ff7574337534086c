"""`python -m headrace.cli`.

Python puts the current folder in front of the modules' path for `-m`; it is taken off before anything is imported that
a file there could stand for. What Python itself imports before that (`headrace`, `types`, ...) it takes from there;
the command `headrace` and `python -P -m headrace.cli` do not look there at all.
"""

import sys

if not sys.flags.safe_path and sys.path:
    del sys.path[0]

from headrace.cli import main

sys.exit(main())
