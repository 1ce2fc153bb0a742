"""Run every benchmark, one process each, so that none inherits another's memory or threads."""

import argparse
import subprocess
import sys

MODULES = ("encoder", "faiss_search", "ingest", "server")


def main() -> None:
    """Run them in order; ends with 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="data", help="data folder with an ingested base, for the server")
    arguments = parser.parse_args()
    failed = []
    for name in MODULES:
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        if name == "server":
            command += ["--data", arguments.data]
        print(f"benchmark {name}", file=sys.stderr)
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
