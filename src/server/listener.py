"""The sockets that the service listens on."""

import errno
import os
import socket

BACKLOG = 2048
"""Connections that may wait to be accepted; uvicorn's default."""
EVERYWHERE = ("0.0.0.0", "::")
Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
"""A socket address as `getaddrinfo` returns it."""
_ABSENT = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class ListenError(Exception):
    """The service cannot listen at its address; the message names the variable to change."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen at `port` on all addresses of `host`.

    `::` means all addresses of this machine. It gets one socket for each family, so that IPv4 addresses of clients and
    proxies look as they do with `0.0.0.0`. If this machine lacks one of several families, the others are enough.

    Raises:
        ListenError: there is no such host, it is another machine, or the port is in use.
    """
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    for family, address in _addresses(host, port):
        try:
            sockets.append(_bind(family, address))
        except OSError as error:
            if error.errno not in _ABSENT:
                _close(sockets)
                raise _cannot_listen(host, port, error) from None
            absent = error
    if absent and not sockets:
        raise _cannot_listen(host, port, absent)
    return sockets


def authority(host: str, port: int) -> str:
    """Return host and port as they stand in a URL, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _addresses(host: str, port: int) -> list[tuple[int, Address]]:
    hosts = EVERYWHERE if host == "::" else (host,)
    try:
        found = [
            each
            for name in hosts
            for each in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        ]
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "it cannot be a name"
        message = f"PARAKEET_HOST={host} is no address or name of this machine: {reason}. Try 0.0.0.0, :: or 127.0.0.1."
        raise ListenError(message) from None
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bind(family: int, address: Address) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has its own socket
        bound.bind(address)
        bound.listen(BACKLOG)  # only now is the port certainly ours
    except OSError:
        bound.close()
        raise
    return bound


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _cannot_listen(host: str, port: int, error: OSError) -> ListenError:
    if error.errno in _ABSENT:
        return ListenError(f"PARAKEET_HOST={host} is no address of this machine. Try 0.0.0.0, :: or 127.0.0.1.")
    reason = os.strerror(error.errno or 0).lower()
    return ListenError(f"PARAKEET_PORT={port} cannot be used at PARAKEET_HOST={host}: {reason}.")
