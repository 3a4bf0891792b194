"""What rooms beside the line ask of the repository: Git, DVC, its remote, and who imports what."""
