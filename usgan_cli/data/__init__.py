"""From a folder of images to a split that can be trusted: prepare, duplicates, subsample, phantom."""
