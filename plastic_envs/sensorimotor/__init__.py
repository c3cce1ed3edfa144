"""Sensorimotor association: delayed responses to images, one problem after another."""
