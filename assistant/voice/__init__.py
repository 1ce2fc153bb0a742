"""Speech: bytes of audio → samples → words → an utterance the shop can answer."""
