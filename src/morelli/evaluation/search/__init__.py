"""Search: nearest works by embedding, an index on disk, and scores of retrieval."""
