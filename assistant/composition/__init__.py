"""Decision to text: which sentences of a passage are quoted, and how pieces of a reply are shown."""
