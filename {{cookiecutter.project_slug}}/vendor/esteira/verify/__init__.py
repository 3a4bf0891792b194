"""Is what dvc.lock says true? `lock` compares, `replay` re-executes, `doctor` looks for damage."""
