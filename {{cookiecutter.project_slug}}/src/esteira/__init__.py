"""The toolbox: the same in every project, replaced whole when the template is updated."""
