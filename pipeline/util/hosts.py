"""Hosts as they stand in addresses."""

from __future__ import annotations


def bracketed(host: str) -> str:
    """A host as it stands before a port: an address of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
