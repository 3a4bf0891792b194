"""Take a table as it is found in the wild, and make the project's line run on it."""
