"""The cognitive battery: fifteen tasks and more over two stimulus modalities."""
