"""Examples are programs: each is run as it is shown, with its own folder on the path."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

for folder in (ROOT / "examples" / "weather", ROOT / "examples" / "order_saga"):
    sys.path.append(str(folder))
