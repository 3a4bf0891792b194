"""A newer template, merged into a project that the squad has made its own."""
