"""By which names the API may be asked for. A browser that was led here under another name (DNS rebinding) sends that name as Host,
and is refused. Pure; used by the server and by the settings, so nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable

OWN = ("127.0.0.1", "localhost", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether what listens there is heard by this machine alone."""
    return host == "localhost" or host.startswith("127.") or host == "::1"


def bracketed(host: str) -> str:
    """As an address of the web has it."""
    return f"[{host}]" if ":" in host else host


def allowed_hosts(host: str, port: int, named: Iterable[str] = ()) -> frozenset[str]:
    """Values of the Host header, in small letters. A name of the operator's may be behind a proxy: with our port or none, and exactly
    as it is given where it has one."""
    ours = {f"{each}:{port}" for each in (bracketed(host), *OWN)}
    if port == 80:  # browsers leave it out
        ours |= {bracketed(host), *OWN}
    for name in named:
        ours |= {name} if _has_port(name) else {name, f"{name}:{port}"}
    return frozenset(each.lower() for each in ours)


def _has_port(name: str) -> bool:
    return name.rpartition("]")[2].rpartition(":")[2].isdecimal() and ":" in name.rpartition("]")[2]
