"""Model libraries behind the protocols: one module per library, loaded only when a back-end is built."""
