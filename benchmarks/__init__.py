"""Benchmarks: each module prints JSON lines with the machine's signature; `python -m benchmarks` runs them all."""
