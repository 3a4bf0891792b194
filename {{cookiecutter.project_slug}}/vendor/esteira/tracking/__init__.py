"""A mirror of what the line measured in a tracker that the squad has already: MLflow."""
