"""Labelled questions, intents and conversations → figures. Reads the engine; changes nothing."""
