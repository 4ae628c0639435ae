"""Training: the loss that is back-propagated, the loop around it, and what is kept."""
