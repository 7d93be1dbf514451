"""Copies among the images of a source: how they are found, grouped and dealt with."""
