"""The websocket surface for mini-programs and the web page; docs/protocol.md describes what is spoken."""

from assistant.server.service import Engine, Server, serve

__all__ = ["Engine", "Server", "serve"]
