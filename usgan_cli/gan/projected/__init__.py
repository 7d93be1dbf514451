"""Discriminators on the frozen features of a pretrained network (Projected GAN)."""
