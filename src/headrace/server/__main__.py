"""`python -m headrace.server`: what `Client.local()` starts; the same options as `headrace serve`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

os.environ.setdefault(
    "GRPC_VERBOSITY", "NONE"
)  # before grpc is imported: its log lines are replaced by one line of ours


def run(prog: str = "python -m headrace.server", argv: Sequence[str] | None = None) -> int:
    """Start the server; one line and exit code 2 when the extra is missing."""
    try:
        from headrace.server.app import main
    except ImportError as error:
        from headrace.support.extras import install

        sys.stderr.write(f"{prog}: error: {error.name} is not installed: {install('server')}\n")
        return 2
    return main(argv, prog)


if __name__ == "__main__":
    sys.exit(run())
