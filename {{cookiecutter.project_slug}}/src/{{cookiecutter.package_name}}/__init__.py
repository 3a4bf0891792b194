"""The squad's own code: the model, the features, and one module per stage of dvc.yaml."""
