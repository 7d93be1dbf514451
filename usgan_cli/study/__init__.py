"""The whole grid as one resumable plan, and its report."""
