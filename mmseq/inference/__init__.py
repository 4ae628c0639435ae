"""Use of a trained model, needing no trainer."""
