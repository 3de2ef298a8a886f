"""Tasks: one file, one task. See `base.py` for the contract that each of them keeps."""
