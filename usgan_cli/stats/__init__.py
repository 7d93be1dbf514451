"""Paired statistics over folds."""
