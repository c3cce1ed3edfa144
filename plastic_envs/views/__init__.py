"""Gymnasium's two views of a task: one episode at a time, and many side by side."""
