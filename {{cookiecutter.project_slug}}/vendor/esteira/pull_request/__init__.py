"""What a pull request moved: `collect` runs its code, `render` and `post` do not."""
