"""What a run computes with: device, memory, seeds and pretrained weights."""
