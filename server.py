"""Start the server: the same as `assistant serve`, with the same options."""

import sys

from assistant.cli.main import assistant

if __name__ == "__main__":
    assistant(["serve", *sys.argv[1:]], prog_name="server.py")
