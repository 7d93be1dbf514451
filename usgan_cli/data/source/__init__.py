"""Reading a source: its classes, its images in a stable order, and their pixels."""
