"""Losses of two views of a batch that make the features of its embeddings agree without being redundant."""
