"""Images in and out: files of one image, sets in memory, folders."""
