"""What serves a model's queries without the training environment: each export is a folder with its own `encode.py`."""
