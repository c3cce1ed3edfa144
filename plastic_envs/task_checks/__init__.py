"""Checks of one task each, which `plastic_envs.testing.check_task` goes through."""
