"""What the user asked for: one tree, checked as a whole."""
