"""One module per stage of dvc.yaml, of the same name: read, a few lines of work, write."""
