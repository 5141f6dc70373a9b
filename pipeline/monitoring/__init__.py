"""What is served is watched: rows of now beside those that the served version was trained on."""
