"""The `conveyor` command: one module a command, each importing what it needs when it runs."""
