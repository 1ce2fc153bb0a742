"""Training of the composer, the small language model that writes the replies."""
