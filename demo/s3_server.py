"""An S3 API (moto's server) with objects in memory, on a free port of 127.0.0.1. `demo.services` starts it."""

from __future__ import annotations

import threading

from moto.server import ThreadedMotoServer

from demo.child import announce


def main() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    announce(f"http://{host}:{port}")
    threading.Event().wait()


if __name__ == "__main__":
    main()
