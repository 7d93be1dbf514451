"""Files on disk: whole or absent, JSON documents, and the life of an artefact."""
