"""Customer service inside mini-programs: answers that are right, sourced, fast, and honest about what is not known."""

__version__ = "0.1.0"
