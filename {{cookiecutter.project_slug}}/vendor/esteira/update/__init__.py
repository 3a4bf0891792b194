"""Updates: a newer version of the template, merged into what the squad has made of the project."""
