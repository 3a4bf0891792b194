"""Beside the tools a squad already runs: the line's graph, one stage of it, files for others."""
