"""What every step shares: files and their formats, images, the machine, errors and progress."""
