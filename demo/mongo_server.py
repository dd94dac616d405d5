"""A MongoDB protocol server on a free port of 127.0.0.1, over SQLite files: nx-27017. Started by `demo.services`."""

from __future__ import annotations

import asyncio
import sys

from neosqlite.collection.query_helper import set_force_fallback
from nx_27017.handler import NeoSQLiteHandler
from nx_27017.server import handle_client

from demo.child import announce


async def serve(data_dir: str) -> None:
    """Serves the databases of this folder, one file each.

    nx-27017's own main program cannot bind port 0 and say what it got; this takes its parts.
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
