"""A tool's work that waits to be cancelled, and a file in which all processes of a server count that."""

import asyncio
import sys
from pathlib import Path

# The last argument of the server.
NOTES = Path(sys.argv[2]) if len(sys.argv) > 2 else None
# Longer than any client takes to cancel.
LONGEST_S = 5


async def linger(report_progress):
    await report_progress(1, 2)
    try:
        await asyncio.sleep(LONGEST_S)
    except asyncio.CancelledError:
        with NOTES.open("a") as notes:
            notes.write("cancelled\n")
        raise
    return "nobody cancelled"


def cancelled():
    return str(len(NOTES.read_text().splitlines()) if NOTES.exists() else 0)
