"""Convolutional networks, from kernel to classifier: the helper library of the course."""
