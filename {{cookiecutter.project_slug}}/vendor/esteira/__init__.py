"""The toolbox. Floors: `line`, `drift`, `repository`, `gate`; then a room a capability; then `cli`."""
