"""From an utterance to an intent, slots and a query that stands on its own."""
