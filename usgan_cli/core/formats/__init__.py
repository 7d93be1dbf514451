"""What the files of each artefact say: read, validated and written here alone."""
