"""The options of each command, one dataclass a file, and nothing else: help loads no more than this."""
