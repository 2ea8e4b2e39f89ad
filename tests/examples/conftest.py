"""Examples are programs: each is run as it is shown, with its own folder on the path."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

for name in ("weather", "order_saga", "market_data", "order_processing", "video"):
    sys.path.append(str(ROOT / "examples" / name))
