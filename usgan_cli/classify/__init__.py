"""The classifier that judges whether generated images help: k-fold training on real and generated images."""
