"""Is what dvc.lock says true?

`lock` asks DVC and the remote; `sandbox` executes a stage on what it declares, `compare` judges
what came out, `explain` says it; `doctor` looks for damage; `environment` records what made the
lock.
"""
