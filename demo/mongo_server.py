"""A MongoDB protocol server (nx-27017) over SQLite files, on a free port of 127.0.0.1. `demo.services` starts it."""

from __future__ import annotations

import asyncio
import sys

from neosqlite.collection.query_helper import set_force_fallback
from nx_27017.handler import NeoSQLiteHandler
from nx_27017.server import handle_client

from demo.child import announce


async def serve(data_dir: str) -> None:
    """Serves the databases of a folder, one file each.

    nx-27017's own main program cannot bind port 0 and report the port, so this function uses its parts.
    """
    set_force_fallback(True)  # its translation of filters to SQL is wrong for dates and nulls
    handler = NeoSQLiteHandler(data_dir=data_dir)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handle_client(reader, writer, handler)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    announce(f"mongodb://{host}:{port}/")
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
