"""Models: one file, one architecture. See `base.py` for the contract that each of them keeps."""
