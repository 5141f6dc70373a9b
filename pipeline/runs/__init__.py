"""What is known of runs: their state, their metadata, the database that holds it, and how a node of one is executed."""
