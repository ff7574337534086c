"""Names that tests of the command line share with their fixtures."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

CANARY = "canary-0123456789abcdef"  # a credential that nothing may show
URL = "https://clarifai.com/headrace/local/models/echo"
Run = Callable[..., "subprocess.CompletedProcess[str]"]
