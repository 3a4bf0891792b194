"""Watch new batches: check them on a schedule, and see that what follows is done once."""
