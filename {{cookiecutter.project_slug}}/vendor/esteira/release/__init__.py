"""Released versions of the model: looked at, put to use, published."""
