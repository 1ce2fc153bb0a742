"""Starts the server, as `assistant serve` does: `python server.py [--host ...] [--port ...]`."""

from assistant.cli.main import main

if __name__ == "__main__":
    main(["serve", *__import__("sys").argv[1:]])
