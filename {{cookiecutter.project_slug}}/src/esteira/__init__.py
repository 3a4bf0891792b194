"""The toolbox: the same in every project. Do not edit it; an update of the template replaces it whole."""
