"""Retrieval sets, the BM25 baseline, the scores, and a model's results on them."""
