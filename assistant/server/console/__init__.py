"""The operator's page at /console: live conversations, transcripts with traces, learning, figures; docs/operator.md."""
