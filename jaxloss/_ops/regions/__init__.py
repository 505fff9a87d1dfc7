"""The regions of an image: sums over their pixels, of probabilities that a softmax over the classes makes."""
