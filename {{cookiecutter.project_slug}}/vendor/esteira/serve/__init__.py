"""The service: one model, asked over HTTP."""
