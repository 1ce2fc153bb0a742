"""What is kept on disk: snapshots of the knowledge with their vector index, sessions and transcripts."""
