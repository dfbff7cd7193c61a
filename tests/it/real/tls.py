"""TLS before a port of the loopback: tls.py CERTIFICATE KEY PORT. Says which port it listens on, then passes bytes on."""

import asyncio
import ssl
import sys


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def main(certificate, key, port):
    async def serve(reader, writer):
        try:
            behind = await asyncio.open_connection("127.0.0.1", int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, behind[1]), copy(behind[0], writer))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
