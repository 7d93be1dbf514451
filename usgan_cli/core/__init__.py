"""What every step shares: errors, files, formats, records, images, seeds, devices, weights and the workspace."""
