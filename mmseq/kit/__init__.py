"""What `mmseq plugin` does: lists what there is, checks it, and begins new ones."""
