"""StyleGAN2 for small datasets: networks, augmentation, losses, training and sampling."""
