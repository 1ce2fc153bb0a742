"""Generators: a causal language model in this process, or a server that speaks the OpenAI protocol."""
