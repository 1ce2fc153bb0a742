"""Utterance to passages: units that are embedded, lexical search, fusion, and the calibrated probability."""
