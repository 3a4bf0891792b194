"""The model card: what the model is, how good it is where, and what it is for."""
