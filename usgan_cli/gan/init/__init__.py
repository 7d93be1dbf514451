"""Starting a training from networks that were trained before."""
