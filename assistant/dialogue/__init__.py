"""Passages, intents and history to a decision: answer, act, ask back, hand over, decline. Pure."""
