"""Where the tools of the audit are."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv/audit/bin"
