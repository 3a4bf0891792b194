"""One page that says how the project stands: `uv run esteira report`."""
