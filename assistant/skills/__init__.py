"""What the assistant can do besides answering: each skill reads or changes something and returns facts."""
