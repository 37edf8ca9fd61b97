#!/usr/bin/env python3
"""Stands in for kubectl where there is no cluster: what scripts/demo_breaker.sh asks of it, and nothing else.

A service is one that listens on this machine, at LOCAL_SERVICE (host:port); a port-forward really forwards. Words and streams are
kubectl's. What is asked that the script is not known to ask is an error, so that a change of the script is noticed here.
"""

import asyncio
import os
import sys

NAMESPACE, SERVICE, DEPLOYMENT = "somewhere", "some-api", "some-upstream"


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def forward():
    host, port = os.environ["LOCAL_SERVICE"].rsplit(":", 1)

    async def connection(reader, writer):
        try:
            there = await asyncio.open_connection(host, int(port))
        except OSError as error:
            print(f"E portforward.go: an error occurred forwarding: {error}", file=sys.stderr)
            writer.close()
            return
        await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    print(f"Forwarding from 127.0.0.1:{server.sockets[0].getsockname()[1]} -> {port}", flush=True)
    await server.serve_forever()


def main():
    match sys.argv[1:]:
        case ["-n", namespace, *_] if namespace != NAMESPACE:
            sys.exit(f'Error from server (NotFound): namespaces "{namespace}" not found')
        case ["-n", _, "rollout", "status", deployment, "--timeout=120s"]:
            if deployment != f"deployment/{DEPLOYMENT}":
                sys.exit(f'Error from server (NotFound): deployments.apps "{deployment}" not found')
            print(f'deployment "{DEPLOYMENT}" successfully rolled out')
        case ["-n", _, "port-forward", service, ":80"]:
            if service != f"service/{SERVICE}":
                sys.exit(f'Error from server (NotFound): services "{service}" not found')
            asyncio.run(forward())
        case unknown:
            sys.exit(f"error: this stand-in does not know: kubectl {' '.join(unknown)}")


main()
