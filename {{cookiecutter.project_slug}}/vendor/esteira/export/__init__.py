"""The line beside the tools a squad already runs: its graph, one stage of it, and files for them."""
