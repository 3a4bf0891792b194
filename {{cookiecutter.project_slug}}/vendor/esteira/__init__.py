"""The toolbox: floors `line`, `drift`, `repository`, `gate`; a room a capability; then `cli`."""
