"""The study of transitive inference."""
