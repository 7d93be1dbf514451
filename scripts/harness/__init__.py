"""What `scripts/faults.py` and `scripts/fuzz.py` share: disturbed commands, damaged files, and how results compare."""
