"""A stage of the squad's own: made whole, and taken away whole."""
