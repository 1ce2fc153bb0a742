"""Knowledge files → passages, intents, products, orders → vectors → a snapshot that is served."""
