"""What a pull request moved: collected on the untrusted side, rendered and posted on the trusted."""
